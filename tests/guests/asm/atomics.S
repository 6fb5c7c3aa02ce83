# Every atomic of RV64A, both widths and all orderings: old values, results,
# sign extension, aliased registers, and reservations that hold and that fail.
    .include "asm/check.inc"

    .data
    .balign 16
cell:
    .dword  0, 0
other:
    .dword  0

    # One operation with memory `old` and register `arg` (32-bit values are put
    # into the upper half of the doubleword, which must keep its lower half).
    .macro  AMO_D op, old, arg, result
    .irp    order, , .aq, .rl, .aqrl
    li      t0, \old
    sd      t0, 0(s0)
    li      a1, \arg
    amo\op\().d\order a0, a1, (s0)
    EXPECT  a0, \old
    EXPECT  a1, \arg
    ld      a2, 0(s0)
    EXPECT  a2, \result
    .endr
    .endm

    .macro  AMO_W op, old, arg, result
    .irp    order, , .aq, .rl, .aqrl
    li      t0, 0x5a5a5a5a5a5a5a5a
    sd      t0, 0(s0)
    li      t0, \old
    sw      t0, 4(s0)
    li      a1, \arg
    amo\op\().w\order a0, a1, (s1)
    EXPECT  a0, \old
    lw      a2, 4(s0)
    EXPECT  a2, \result
    lwu     a2, 0(s0)
    EXPECT  a2, 0x5a5a5a5a
    .endr
    .endm

    BEGIN
    lla     s0, cell
    addi    s1, s0, 4

    AMO_D   swap, 0x1122334455667788, -1, -1
    AMO_D   add, 0x7fffffffffffffff, 1, -0x8000000000000000
    AMO_D   add, -1, 1, 0
    AMO_D   xor, 0x0ff00ff00ff00ff0, 0x00ffff0000ffff00, 0x0f0ff0f00f0ff0f0
    AMO_D   and, 0x0ff00ff00ff00ff0, 0x00ffff0000ffff00, 0x00f00f0000f00f00
    AMO_D   or, 0x0ff00ff00ff00ff0, 0x00ffff0000ffff00, 0x0ffffff00ffffff0
    AMO_D   min, -5, 3, -5
    AMO_D   min, 3, -5, -5
    AMO_D   min, 1 << 32, 1, 1
    AMO_D   max, -5, 3, 3
    AMO_D   max, 3, -5, 3
    AMO_D   max, 1 << 32, 1, 1 << 32
    AMO_D   minu, -5, 3, 3
    AMO_D   minu, 3, -5, 3
    AMO_D   maxu, -5, 3, -5
    AMO_D   maxu, 3, -5, -5

    AMO_W   swap, -0x12345678, 0x7fffffff, 0x7fffffff
    AMO_W   swap, 1, 0x7fffffff80000000, -0x80000000
    AMO_W   add, 0x7fffffff, 1, -0x80000000
    AMO_W   add, -1, 0x100000001, 0
    AMO_W   xor, 0x0ff00ff0, 0x00ffff00, 0x0f0ff0f0
    AMO_W   and, -16, 0x123456789abcdeff, -0x65432110
    AMO_W   or, 0x40000000, -0x80000000, -0x40000000
    # The upper half of the argument takes no part in the comparison.
    AMO_W   min, -5, 0x7000000000000003, -5
    AMO_W   min, 3, 0x70000000fffffffb, -5
    AMO_W   max, -5, 0x8000000000000003, 3
    AMO_W   max, 3, 0x00000000fffffffb, 3
    AMO_W   minu, -5, 0xffffffff00000003, 3
    AMO_W   minu, 3, -5, 3
    AMO_W   maxu, -5, 3, -5
    AMO_W   maxu, 3, -5, -5

    # rd = x0, rd = rs1, rd = rs2, rs1 = rs2, rs2 = x0
    li      t0, 10
    sd      t0, 0(s0)
    li      a1, 5
    amoadd.d x0, a1, (s0)
    ld      a0, 0(s0)
    EXPECT  a0, 15
    mv      a3, s0
    amoadd.d a3, a1, (a3)
    EXPECT  a3, 15
    amoadd.d a1, a1, (s0)
    EXPECT  a1, 20
    ld      a0, 0(s0)
    EXPECT  a0, 25
    mv      a3, s0
    amoswap.d a0, a3, (a3)
    EXPECT  a0, 25
    ld      a0, 0(s0)
    EXPECT_REG a0, s0
    mv      a3, s0
    amoswap.d a3, a3, (a3)
    EXPECT_REG a3, s0
    amoswap.w a0, x0, (s0)
    lw      a1, 0(s0)
    EXPECT  a1, 0
    amoor.d x0, x0, (s0)

    # LR and SC that succeed; SC writes 0
    .irp    order, , .aq, .rl, .aqrl
    li      t0, -7
    sd      t0, 0(s0)
    lr.d\order a0, (s0)
    EXPECT  a0, -7
    li      a1, 0x123456789
    sc.d\order a2, a1, (s0)
    EXPECT  a2, 0
    ld      a0, 0(s0)
    EXPECT  a0, 0x123456789
    lr.w\order a0, (s1)
    EXPECT  a0, 1
    li      a1, -0x80000000
    sc.w\order a2, a1, (s1)
    EXPECT  a2, 0
    lr.w    a0, (s1)
    EXPECT  a0, -0x80000000
    .endr

    # The reservation of the last lr.w is used up by one SC
    li      a1, 1
    sc.w    a2, a1, (s1)
    EXPECT  a2, 0
    li      a1, 2
    sc.w    a2, a1, (s1)
    EXPECT  a2, 1
    lw      a0, 0(s1)
    EXPECT  a0, 1

    # SC to another address fails, and ends the reservation
    lla     s2, other
    lr.d    a0, (s0)
    li      a1, 99
    sc.d    a2, a1, (s2)
    EXPECT  a2, 1
    ld      a0, 0(s2)
    EXPECT  a0, 0
    sc.d    a2, a1, (s0)
    EXPECT  a2, 1

    # The second LR replaces the first
    lr.d    a0, (s0)
    lr.d    a0, (s2)
    sc.d    a2, a1, (s0)
    EXPECT  a2, 1
    lr.d    a0, (s0)
    lr.d    a0, (s2)
    sc.d    a2, a1, (s2)
    EXPECT  a2, 0
    ld      a0, 0(s2)
    EXPECT  a0, 99

    # Loads, an atomic elsewhere, jumps and calls between LR and SC change
    # nothing; rd = x0, rd = rs1, rd = rs2
    lr.d    a0, (s0)
    ld      a3, 0(s2)
    amoadd.d a3, a3, (s2)
    j       1f
1:  sc.d    x0, a1, (s0)
    ld      a0, 0(s0)
    EXPECT  a0, 99
    mv      a3, s0
    lr.d    a3, (a3)
    EXPECT  a3, 99
    mv      a3, s0
    sc.d    a3, a1, (a3)
    EXPECT  a3, 0
    lr.d    x0, (s0)
    li      a1, 7
    sc.d    a1, a1, (s0)
    EXPECT  a1, 0
    ld      a0, 0(s0)
    EXPECT  a0, 7
    mv      a3, s0
    sc.d    a3, a1, (a3)                # fails: the address register gets 1
    EXPECT  a3, 1

    # Counting by LR/SC loops and by AMOs agrees
    sd      x0, 0(s0)
    sd      x0, 0(s2)
    li      s3, 1000
2:  lr.d    a0, (s0)
    add     a0, a0, s3
    sc.d    a1, a0, (s0)
    bnez    a1, 2b
    amoadd.d x0, s3, (s2)
    addi    s3, s3, -1
    bnez    s3, 2b
    ld      a0, 0(s0)
    ld      a1, 0(s2)
    EXPECT  a0, 500500
    EXPECT_REG a0, a1
    fence   rw, rw
    .option push
    .option arch, +zifencei
    fence.i
    .option pop
    fence.tso

    END     "atomics"
