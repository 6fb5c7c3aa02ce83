# Every 16-bit form of RV64C without floating point, with the limits of its
# immediates, and the hints (encodings that do nothing).
    .include "asm/check.inc"

    .bss
    .balign 16
area:
    .zero   1024

    BEGIN
    .option rvc
    mv      s11, sp                     # sp is changed by the tests
    lla     s10, area

    # c.li, c.lui: sign extension
    c.li    a0, -32
    EXPECT  a0, -32
    c.li    t0, 31
    EXPECT  t0, 31
    c.lui   a1, 31
    EXPECT  a1, 31 << 12
    c.lui   s9, 0xfffe0
    EXPECT  s9, -32 << 12
    c.lui   a1, 0xfffff
    EXPECT  a1, -4096

    # c.addi, c.addiw, c.nop
    li      a0, 5
    c.addi  a0, -32
    EXPECT  a0, -27
    c.addi  a0, 31
    EXPECT  a0, 4
    li      a0, -1
    c.addi  a0, 1
    EXPECT  a0, 0
    li      a0, 0x7fffffff
    c.addiw a0, 1
    EXPECT  a0, -0x80000000
    li      a0, 0x123456789abcdef0
    c.addiw a0, 0                       # sext.w
    EXPECT  a0, -0x65432110
    li      t4, -0x80000000
    c.addiw t4, -32
    EXPECT  t4, 0x7fffffe0
    c.nop

    # c.mv, c.add
    li      s8, 0x0123456789abcdef
    c.mv    a5, s8
    EXPECT  a5, 0x0123456789abcdef
    c.add   a5, s8
    EXPECT  a5, 0x02468acf13579bde
    c.add   a5, a5
    EXPECT  a5, 0x048d159e26af37bc

    # c.slli, c.srli, c.srai, c.andi: shift amounts 1, 31, 32, 63
    li      s7, -0x7fffffffffffffff
    c.slli  s7, 1
    EXPECT  s7, 2
    c.slli  s7, 31
    EXPECT  s7, 1 << 32
    li      s7, 3
    c.slli  s7, 63
    EXPECT  s7, 1 << 63
    li      s0, -2
    c.srli  s0, 1
    EXPECT  s0, 0x7fffffffffffffff
    c.srli  s0, 32
    EXPECT  s0, 0x7fffffff
    li      a3, -1
    c.srli  a3, 63
    EXPECT  a3, 1
    li      a2, -2
    c.srai  a2, 1
    EXPECT  a2, -1
    li      a2, 1 << 63
    c.srai  a2, 63
    EXPECT  a2, -1
    li      a2, 1 << 63
    c.srai  a2, 32
    EXPECT  a2, -0x80000000
    li      s1, -1
    c.andi  s1, 31
    EXPECT  s1, 31
    c.andi  s1, -32
    EXPECT  s1, 0
    li      s1, 0x1234567890
    c.andi  s1, -16
    EXPECT  s1, 0x1234567890

    # c.sub, c.xor, c.or, c.and, c.subw, c.addw
    li      a4, 0x0f0f0f0f0f0f0f0f
    li      a5, 0x00ff00ff00ff00ff
    c.mv    a0, a4
    c.sub   a0, a5
    EXPECT  a0, 0x0e100e100e100e10
    c.mv    a0, a4
    c.xor   a0, a5
    EXPECT  a0, 0x0ff00ff00ff00ff0
    c.mv    a0, a4
    c.or    a0, a5
    EXPECT  a0, 0x0fff0fff0fff0fff
    c.mv    a0, a4
    c.and   a0, a5
    EXPECT  a0, 0x000f000f000f000f
    li      a0, 0x180000000
    li      a1, 1
    c.subw  a0, a1
    EXPECT  a0, 0x7fffffff
    c.addw  a0, a1
    EXPECT  a0, -0x80000000
    c.addw  a0, a0
    EXPECT  a0, 0
    c.sub   a1, a1
    EXPECT  a1, 0

    # The same register-register forms with every pair of x8..x15
    li      s6, 0
    .irp    d, s0, s1, a0, a1, a2, a3, a4, a5
    .irp    s, s0, s1, a0, a1, a2, a3, a4, a5
    li      \s, 0x1000f
    li      \d, 0x7fffffff
    c.addw  \d, \s
    c.add   s6, \d
    c.xor   \d, \s
    c.or    \s, \d
    c.sub   \d, \s
    c.add   s6, \d
    c.slli  s6, 1
    c.and   \d, \s
    c.subw  \s, \d
    c.add   s6, \s
    .endr
    .endr
    mv      a0, s6
    EXPECT  a0, 0x63b1d8ed75b9dde2

    # c.addi4spn, c.addi16sp
    c.mv    sp, s10
    c.addi4spn a0, sp, 4
    sub     a0, a0, s10
    EXPECT  a0, 4
    c.addi4spn s1, sp, 1020
    sub     s1, s1, s10
    EXPECT  s1, 1020
    c.addi16sp sp, 496
    sub     a0, sp, s10
    EXPECT  a0, 496
    c.addi16sp sp, -512
    sub     a0, sp, s10
    EXPECT  a0, -16
    c.mv    sp, s10

    # c.sw, c.lw, c.sd, c.ld; limits of the offsets
    c.mv    s0, s10
    li      a5, 0x8899aabbccddeeff
    c.sd    a5, 0(s0)
    c.sd    a5, 248(s0)
    c.sw    a5, 124(s0)
    c.lw    a4, 0(s0)
    EXPECT  a4, 0xffffffffccddeeff
    c.lw    a4, 4(s0)
    EXPECT  a4, 0xffffffff8899aabb
    c.ld    a3, 248(s0)
    EXPECT  a3, 0x8899aabbccddeeff
    c.lw    a3, 124(s0)
    EXPECT  a3, 0xffffffffccddeeff
    lw      a3, 120(s0)
    EXPECT  a3, 0
    c.ld    s0, 0(s0)                   # the base is overwritten
    EXPECT  s0, 0x8899aabbccddeeff
    c.mv    a5, s10
    c.sd    a5, 8(a5)                   # the base is stored
    c.ld    a5, 8(a5)
    EXPECT_REG a5, s10

    # c.swsp, c.lwsp, c.sdsp, c.ldsp
    li      t5, 0xf1f2f3f4f5f6f7f8
    c.swsp  t5, 252(sp)
    c.sdsp  t5, 504(sp)
    c.swsp  t5, 0(sp)
    c.lwsp  ra, 252(sp)
    EXPECT  ra, 0xfffffffff5f6f7f8
    c.ldsp  s5, 504(sp)
    EXPECT  s5, 0xf1f2f3f4f5f6f7f8
    c.lwsp  t0, 4(sp)
    EXPECT  t0, 0xffffffff8899aabb
    c.sdsp  x0, 504(sp)
    c.ldsp  t3, 504(sp)
    EXPECT  t3, 0
    c.sdsp  sp, 16(sp)
    c.ldsp  sp, 16(sp)                  # sp loaded from its own address
    EXPECT_REG sp, s10
    c.mv    sp, s11

    # c.j, both directions; c.beqz, c.bnez, taken and not
    li      a0, 0
    c.j     2f
1:  c.addi  a0, 2
    c.j     3f
2:  c.addi  a0, 1
    c.j     1b
3:  EXPECT  a0, 3
    li      a1, 0
    c.beqz  a1, 4f
    c.addi  a0, 16
4:  c.bnez  a1, 5f
    c.addi  a0, 4
5:  li      a1, 1 << 40                 # zero in its low half
    c.beqz  a1, 6f
    c.addi  a0, 8
6:  c.bnez  a1, 7f
    c.addi  a0, 16
7:  EXPECT  a0, 15
    li      s0, 5
8:  c.addi  s0, -1
    c.addi  a0, 1
    c.bnez  s0, 8b
    EXPECT  a0, 20

    # c.jr, c.jalr: the return address is two bytes on
    lla     t0, 9f
    c.jr    t0
    UNREACHABLE
9:  lla     a2, 10f
    c.jalr  a2
11: j       12f
10: c.mv    a3, ra
    lla     a4, 11b
    EXPECT_REG a3, a4
    c.jr    ra
    UNREACHABLE
12: lla     ra, 13f
    c.jalr  ra                          # target and link are one register
14: UNREACHABLE
13: lla     a4, 14b
    EXPECT_REG ra, a4
    lla     t0, 15f + 1
    c.jr    t0                          # bit 0 of the target is cleared
    UNREACHABLE
15:

    # Hints: rd = x0, or an immediate of zero; nothing changes
    li      a0, 77
    .option norvc
    .half   0x0005                      # c.nop with an immediate
    .half   0x4055                      # c.li x0, 21
    .half   0x6045                      # c.lui x0, 17
    .half   0x802a                      # c.mv x0, a0
    .half   0x902a                      # c.add x0, a0
    .half   0x0006                      # c.slli x0, 1
    .half   0x0501                      # c.addi a0, 0
    .half   0x0502                      # c.slli a0, 0 (c.slli64)
    .half   0x8101                      # c.srli a0, 0 (c.srli64)
    .half   0x8501                      # c.srai a0, 0 (c.srai64)
    .option rvc
    EXPECT  a0, 77
    EXPECT  x0, 0

    END     "rvc"
