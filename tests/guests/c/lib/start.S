# Entry of a freestanding guest. On entry sp points at argc, argv, envp, auxv.
    .text
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    mv      a0, sp
    andi    sp, sp, -16
    li      s0, 0
    li      ra, 0
    call    g_start
    .size _start, . - _start
