# The smallest program that says something: two calls, no library.
    .text
    .globl  _start
    .type   _start, @function
_start:
    li      a0, 1
    lla     a1, message
    li      a2, 6
    li      a7, 64                      # write
    ecall
    li      a0, 0
    li      a7, 94                      # exit_group
    ecall
    .size   _start, . - _start

    .section .rodata
message:
    .ascii  "hello\n"
