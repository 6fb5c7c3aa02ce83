# Results of every register and immediate operation of RV64IM on limit values,
# and branches, loads and stores of every width at every alignment.
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

    EVERY_PAIR add, 0xab6ddf4a047c3634
    EVERY_PAIR sub, 0x6dcb7b2aaf094d15
    EVERY_PAIR sll, 0x5c7848e6e64f817f
    EVERY_PAIR slt, 0x35a068c54e53c9d0
    EVERY_PAIR sltu, 0x2adecfe56a2f4f6e
    EVERY_PAIR xor, 0x384e25ece8f20411
    EVERY_PAIR srl, 0x1ac40e01b847b2c2
    EVERY_PAIR sra, 0xaef47350a71fafb6
    EVERY_PAIR or, 0x212073e3fc6ead57
    EVERY_PAIR and, 0x3dba168aeea8bbd7
    EVERY_PAIR addw, 0xa6ebb817dc9cc3ec
    EVERY_PAIR subw, 0x3a74d144d6ec2f5b
    EVERY_PAIR sllw, 0xa039af08a45cb08f
    EVERY_PAIR srlw, 0x721c8dc00384e82d
    EVERY_PAIR sraw, 0xf6fc0ef300ad1268
    EVERY_PAIR mul, 0xb55c1620efc2f66b
    EVERY_PAIR mulh, 0x7bb2727f8ef59f09
    EVERY_PAIR mulhsu, 0x12729a6aece34593
    EVERY_PAIR mulhu, 0x391fae21ce7f228f
    EVERY_PAIR div, 0x8a8c912a2246dccb
    EVERY_PAIR divu, 0x1449bbf5f3c9cb98
    EVERY_PAIR rem, 0xbd2ebef2088d1fa7
    EVERY_PAIR remu, 0x491dd94c6212bfa6
    EVERY_PAIR mulw, 0xc628e0260e8fd69f
    EVERY_PAIR divw, 0x956a3f42b1c94809
    EVERY_PAIR divuw, 0x2ec33c1be71e0e74
    EVERY_PAIR remw, 0xccb870aa7cabfc96
    EVERY_PAIR remuw, 0xbd776e30bfb9c844
    EVERY_IMMEDIATE addi, 0x272153d6e1cf01f0, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE slti, 0x577158b4beaf02ca, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE sltiu, 0x6ccd6a03d001e0ce, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE xori, 0x2baadd9cd4ea7691, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE ori, 0x30c80c488efe07e9, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE andi, 0x9f31b1f7a18de3be, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE addiw, 0x109d2b0a0a333eb1, 0, 1, -1, 2047, -2048, 255, -256
    EVERY_IMMEDIATE slli, 0xea9e8385f902a8e8, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE srli, 0xdb5123754310a4a7, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE srai, 0x40c3eff0ea9c7ed, 0, 1, 7, 31, 32, 33, 63
    EVERY_IMMEDIATE slliw, 0x265964a29a579b64, 0, 1, 7, 15, 16, 30, 31
    EVERY_IMMEDIATE srliw, 0xda8088ec43c9298a, 0, 1, 7, 15, 16, 30, 31
    EVERY_IMMEDIATE sraiw, 0x93e719f8dd9b4e32, 0, 1, 7, 15, 16, 30, 31

    # ---- Branches: 1 for taken, 0 for not
    .macro  EVERY_BRANCH op, expected
    li      s6, 0
    mv      s2, s0
1:  mv      s3, s0
2:  ld      a1, 0(s2)
    ld      a2, 0(s3)
    li      a0, 1
    \op     a1, a2, 3f
    li      a0, 0
3:  FOLD
    addi    s3, s3, 8
    bne     s3, s1, 2b
    addi    s2, s2, 8
    bne     s2, s1, 1b
    EXPECT  s6, \expected
    .endm

    EVERY_BRANCH beq, 0x3c1e2d118cdde6fb
    EVERY_BRANCH bne, 0xd5061afdc6d1b15f
    EVERY_BRANCH blt, 0x35a068c54e53c9d0
    EVERY_BRANCH bge, 0x2fa45441104fe88f
    EVERY_BRANCH bltu, 0x2adecfe56a2f4f6e
    EVERY_BRANCH bgeu, 0x993c91b2be29916a

    # ---- Upper immediates
    lui     a0, 0x80000
    EXPECT  a0, -0x80000000
    lui     a0, 0x7ffff
    EXPECT  a0, 0x7ffff000
    auipc   a0, 0
    auipc   a1, 0xfffff
    sub     a1, a1, a0
    EXPECT  a1, -4092
    auipc   a0, 0
    auipc   a1, 1
    sub     a1, a1, a0
    EXPECT  a1, 4100

    # ---- Loads of every width, at offsets 0..15 and across a page
    .bss
    .balign 4096
area:
    .zero   8192
    .text
    lla     s4, area
    li      t0, 0
1:  li      t1, 37
    mul     t1, t1, t0
    addi    t1, t1, 11
    add     t2, s4, t0
    sb      t1, 0(t2)
    addi    t0, t0, 1
    li      t1, 8192
    bne     t0, t1, 1b

    .macro  EVERY_LOAD op, expected
    li      s6, 0
    li      s2, 0
    li      s3, 16
1:  add     a1, s4, s2
    \op     a0, 0(a1)
    FOLD
    addi    s2, s2, 1
    bne     s2, s3, 1b
    li      s2, 4088 - 2000
    li      s3, 4100 - 2000
1:  add     a1, s4, s2
    \op     a0, 2000(a1)
    \op     x0, 2000(a1)
    FOLD
    \op     a1, 2000(a1)
    EXPECT_REG a0, a1
    addi    s2, s2, 1
    bne     s2, s3, 1b
    EXPECT  s6, \expected
    .endm

    EVERY_LOAD lb, 0x9dcab9ef2bbe69a6
    EVERY_LOAD lh, 0xb0581c2122ba5a16
    EVERY_LOAD lw, 0x7ff31cef2e5f1c45
    EVERY_LOAD ld, 0xebd9699eac4c0d2c
    EVERY_LOAD lbu, 0xeb32fb79ca5ac718
    EVERY_LOAD lhu, 0x7f9a9bcfc4edd6e9
    EVERY_LOAD lwu, 0xca224aff6b75990f

    # ---- Stores: the bytes at offsets 0..39 and around the page border after
    # overlapping misaligned stores
    .macro  EVERY_STORE op, expected
    li      a2, 0x8182838485868788
    li      s2, 0
    li      s3, 24
1:  add     a1, s4, s2
    \op     a2, 0(a1)
    \op     a2, -3(a1)
    add     a3, s4, s2
    li      t1, 6096
    add     a3, a3, t1
    \op     a2, -2011(a3)
    \op     a1, -2048(a3)               # an address is data, too: removed below
    \op     x0, -2048(a3)
    addi    a2, a2, 0x77
    addi    s2, s2, 7
    bltu    s2, s3, 1b
    li      s6, 0
    mv      s2, s4
    addi    s3, s4, 40
1:  lbu     a0, 0(s2)
    FOLD
    addi    s2, s2, 1
    bne     s2, s3, 1b
    li      t1, 4072
    add     s2, s4, t1
    addi    s3, s2, 48
1:  lbu     a0, 0(s2)
    FOLD
    addi    s2, s2, 1
    bne     s2, s3, 1b
    EXPECT  s6, \expected
    .endm

    addi    s4, s4, 16
    EVERY_STORE sb, 0x3efbd3f3b030c62d
    EVERY_STORE sh, 0x92511fb2058ce83e
    EVERY_STORE sw, 0xbb47d4ae97878e8c
    EVERY_STORE sd, 0x311125e6378bf594

    END     "ops"
