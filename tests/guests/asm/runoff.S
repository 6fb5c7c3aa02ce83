# Runs past the end of the text: the last instruction is not a jump, and what
# follows it in the page is not code.
    .text
    .globl  _start
    .type   _start, @function
_start:
    li      a0, 1
    lla     a1, message
    li      a2, 9
    li      a7, 64                      # write
    ecall
    li      a0, 5
    .option push
    .option norvc
    .globl  last_instruction
last_instruction:
    addi    a0, a0, 1
    .option pop
    .size   _start, . - _start

    .section .rodata
message:
    .ascii  "near end\n"
