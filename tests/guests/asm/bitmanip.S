# Results of every operation of Zba, Zbb and Zbs on limit values.
    .include "asm/check.inc"

    # Folds a0 into s6, as g_mix of the support library does.
    .macro  FOLD
    xor     s6, s6, a0
    mul     s6, s6, s7
    srli    t0, s6, 29
    xor     s6, s6, t0
    .endm

    # Every pair of the values, with rd apart from, equal to rs1, equal to rs2, and x0.
    .macro  EVERY_PAIR op, expected
    li      s6, 0
    mv      s2, s0
1:  mv      s3, s0
2:  ld      a1, 0(s2)
    ld      a2, 0(s3)
    \op     a0, a1, a2
    \op     a3, a1, a2
    mv      a4, a1
    \op     a4, a4, a2
    EXPECT_REG a0, a4
    \op     a2, a1, a2
    EXPECT_REG a0, a2
    EXPECT_REG a0, a3
    FOLD
    \op     x0, a1, a2
    addi    s3, s3, 8
    bne     s3, s1, 2b
    addi    s2, s2, 8
    bne     s2, s1, 1b
    EXPECT  x0, 0
    EXPECT  s6, \expected
    .endm

    .macro  EVERY_VALUE op, expected
    li      s6, 0
    mv      s2, s0
1:  ld      a1, 0(s2)
    \op     a0, a1
    FOLD
    \op     a1, a1
    EXPECT_REG a0, a1
    addi    s2, s2, 8
    bne     s2, s1, 1b
    EXPECT  s6, \expected
    .endm

    .macro  EVERY_IMMEDIATE op, expected, immediates:vararg
    li      s6, 0
    .irp    i, \immediates
    mv      s2, s0
1:  ld      a1, 0(s2)
    \op     a0, a1, \i
    FOLD
    \op     a1, a1, \i
    EXPECT_REG a0, a1
    addi    s2, s2, 8
    bne     s2, s1, 1b
    .endr
    EXPECT  s6, \expected
    .endm

    .section .rodata
    .balign 8
values:
    .dword  0x0
    .dword  0x1
    .dword  0x2
    .dword  0x3f
    .dword  0x40
    .dword  0x7fffffff
    .dword  0x80000000
    .dword  0xffffffff
    .dword  0x123456789abcdef
    .dword  0x7fffffffffffffff
    .dword  0x8000000000000000
    .dword  0xffffffffffffffff
    .dword  0xfffffffffffffffe
    .dword  0xffffffff80000000
    .dword  0xff00ff00ff00ff00
    .dword  0xdeadbeef
values_end:

    BEGIN
    .option norvc
    lla     s0, values
    lla     s1, values_end
    li      s7, 0x9e3779b97f4a7c15

    EVERY_PAIR add.uw, 0xf2987369b8f9bf1a
    EVERY_PAIR sh1add, 0x5eb73a7fa5eb3111
    EVERY_PAIR sh2add, 0xa5aa89dcd58efe18
    EVERY_PAIR sh3add, 0x57292fdbf91c88d3
    EVERY_PAIR sh1add.uw, 0x81bd6ea67e852860
    EVERY_PAIR sh2add.uw, 0x33ffd88a64c766ca
    EVERY_PAIR sh3add.uw, 0xb9d20f1eb2800f
    EVERY_PAIR andn, 0x1a1df7ef3c00e42a
    EVERY_PAIR orn, 0x42c8a4e29544e77f
    EVERY_PAIR xnor, 0x8dd7a2926aec1049
    EVERY_PAIR max, 0xc7cbd158eb78415c
    EVERY_PAIR maxu, 0xd5bff3b621adf0da
    EVERY_PAIR min, 0x90f76f293311cfc3
    EVERY_PAIR minu, 0xb0142c370dd6bf97
    EVERY_PAIR rol, 0x2cd61b89614355b5
    EVERY_PAIR ror, 0x28bd8726f7b01fad
    EVERY_PAIR rolw, 0x17adc3b4401e1fbc
    EVERY_PAIR rorw, 0x2c1228a21cc86b51
    EVERY_PAIR bclr, 0x733bbebfd5f8a83a
    EVERY_PAIR bext, 0x92d32dd79c9327cc
    EVERY_PAIR binv, 0xfcd0bba6ba82f94d
    EVERY_PAIR bset, 0x5de5413df74eb6cb
    EVERY_VALUE clz, 0x947252c51764b5ca
    EVERY_VALUE ctz, 0xb05a186da140b92b
    EVERY_VALUE cpop, 0x607f37fbe46ae59f
    EVERY_VALUE clzw, 0x3453eea9f2f3f353
    EVERY_VALUE ctzw, 0x26cc641aeb574c76
    EVERY_VALUE cpopw, 0xe51c1324f8c0211d
    EVERY_VALUE sext.b, 0xb310d973a1cee3a0
    EVERY_VALUE sext.h, 0x13673d064340c428
    EVERY_VALUE zext.h, 0x7dc6846d89be8a57
    EVERY_VALUE orc.b, 0xec712823cf6c5d8d
    EVERY_VALUE rev8, 0xb8ddf1fa7f128a49
    EVERY_VALUE zext.w, 0xbb8b652cedefd30e
    EVERY_IMMEDIATE slli.uw, 0x813b813e0409318f, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE rori, 0x1492e9e26ef3cb90, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE roriw, 0xa5641a90ddcd1aed, 0, 1, 7, 15, 16, 30, 31
    EVERY_IMMEDIATE bclri, 0x673081e946a6c522, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE bexti, 0x13a5458f0133d567, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE binvi, 0xd6c34bcba8b004a2, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE bseti, 0x2eda1b06fe90e9d4, 0, 1, 7, 31, 32, 33, 63

    END     "bitmanip"
