# Instruction sequences that translators like to treat as one: each runs whole,
# and then again from every later instruction on, entered by a computed jump with
# fresh registers. The sums over all entries are of a0 (s4 times 3 plus a0).
    .include "asm/check.inc"

    .option norvc
    .option norelax

    # Between START and STOP is the sequence, of \count 4-byte instructions.
    .macro  START count
    li      s4, 0
    li      s0, 0
    li      s1, \count
8:  li      a0, 7
    li      a1, -3
    li      a2, 0x1234567890abcdef
    li      a3, 5
    li      a4, -0x7fffffffffffffff
    beqz    s0, 7f                      # the first time it is fallen into
    lla     t0, 7f
    slli    t1, s0, 2
    add     t0, t0, t1
    jr      t0
7:
    .endm

    .macro  STOP expected
    slli    t0, s4, 1
    add     s4, s4, t0
    add     s4, s4, a0
    addi    s0, s0, 1
    bne     s0, s1, 8b
    EXPECT  s4, \expected
    .endm

    BEGIN

    # ---- Constants: lui and addi, addiw; longer ones
    START   2
    lui     a0, 0x12345
    addi    a0, a0, 0x678
    STOP    0x369d09e7

    START   2
    lui     a0, 0x7ffff
    addiw   a0, a0, -1
    STOP    0x17fffd003

    START   2
    lui     a0, 0x80000
    addiw   a0, a0, -1
    STOP    0x180000003

    START   2
    lui     a1, 0xfffff
    addi    a0, a1, 2047
    STOP    0xffffffffffffeff9

    START   4
    lui     a0, 0x12345
    addi    a0, a0, 0x678
    slli    a0, a0, 12
    addi    a0, a0, -1
    STOP    0x1eb855933fdf

    START   2
    addi    a0, x0, -1
    slli    a0, a0, 32
    STOP    0x400000000

    START   3
    addi    a0, x0, 1
    slli    a0, a0, 63
    addi    a0, a0, -1
    STOP    0xfffffffffffffffa

    # ---- Zero and sign extension
    START   2
    slli    a0, a2, 32
    srli    a0, a0, 32
    STOP    0x1b20369cd

    START   2
    slli    a0, a2, 48
    srli    a0, a0, 48
    STOP    0x269cd

    START   2
    slli    a0, a2, 56
    srai    a0, a0, 56
    STOP    0xffffffffffffffcd

    START   2
    slli    a0, a2, 48
    srai    a0, a0, 48
    STOP    0xffffffffffff69cd

    START   2
    slli    a0, a2, 32
    srli    a0, a0, 30
    STOP    0x6c80da734

    START   2
    slli    a0, a2, 32
    srli    a0, a0, 29
    STOP    0xd901b4e68

    START   2
    slli    a1, a2, 33
    srli    a0, a1, 34
    STOP    0x5901b4e4

    START   2
    slli    a2, a2, 20
    srai    a0, a2, 40
    STOP    0x148cf74

    START   2
    slliw   a0, a2, 16
    sraiw   a0, a0, 16
    STOP    0xffffffffffff69cd

    START   2
    slliw   a0, a2, 16
    srliw   a0, a0, 16
    STOP    0x269cd

    START   2
    andi    a0, a2, 255
    addiw   a0, a0, 0
    STOP    0x2d4

    START   2
    addw    a0, a2, a1
    addiw   a0, a0, 0
    STOP    0xfffffffeb20369cb

    # ---- Rotates, 32 and 64 bits, whole and torn
    START   3
    slli    a0, a2, 13
    srli    a1, a2, 51
    or      a0, a0, a1
    STOP    0xe147a2c147acfb4a

    START   3
    srli    a0, a2, 13
    slli    a1, a2, 51
    or      a0, a1, a0
    STOP    0x39a51eb851e8b062

    START   3
    slliw   a0, a2, 7
    srliw   a1, a2, 25
    or      a0, a0, a1
    STOP    0x3051eb6f4

    START   3
    srliw   a0, a2, 6
    slliw   a2, a2, 26
    or      a0, a0, a2
    STOP    0x123456757503f6f3

    START   3
    slliw   a0, a2, 7
    srliw   a1, a2, 25
    addw    a0, a0, a1
    STOP    0x3051eb6f9

    START   3
    slli    a0, a2, 13
    srli    a1, a2, 51
    xor     a0, a0, a1
    STOP    0xe147a2c147acfb33

    START   3
    slli    a0, a2, 13
    srli    a1, a2, 52
    or      a0, a0, a1
    STOP    0xe147a2c147acedaf

    START   3
    slli    a0, a2, 13
    srli    a1, a4, 51
    or      a0, a0, a1
    STOP    0xe147a2c147ada014

    START   3
    slliw   a0, a2, 7
    srli    a1, a2, 25
    or      a0, a0, a1
    STOP    0x6fadf1b2f4

    START   7
    slliw   a0, a2, 7
    srliw   a1, a2, 25
    slliw   a3, a2, 18
    srliw   a4, a2, 14
    or      a0, a0, a1
    or      a3, a3, a4
    xor     a0, a0, a3
    STOP    0x13b54c5ea81

    START   4
    sll     a0, a2, a3
    subw    a1, x0, a3
    srl     a1, a2, a1
    or      a0, a0, a1
    STOP    0x70a3d6e843d70729

    START   4
    slli    a0, a2, 13
    mv      a2, a4
    srli    a1, a2, 51
    or      a0, a0, a1
    STOP    0xa3d6e843d708e713

    # ---- Addresses: shift and add
    START   2
    slli    a0, a2, 1
    add     a0, a0, a3
    STOP    0x6d3a06d36406d3b5

    START   2
    slli    a0, a2, 2
    add     a0, a3, a0
    STOP    0xda740da6c80da74f

    START   2
    slli    a0, a2, 3
    add     a0, a0, a0
    STOP    0x69d0369b20369cde

    START   3
    slli    a0, a2, 32
    srli    a0, a0, 29
    add     a0, a0, a3
    STOP    0x28b051eb80

    START   3
    slli    a1, a2, 3
    add     a0, a1, a3
    add     a0, a0, a1
    STOP    0x3d70a3d160a3d69e

    START   2
    slli    a0, a2, 4
    sub     a0, a0, a2
    STOP    0x20fedcb8dd87651b

    # ---- Carries and borrows
    START   2
    add     a0, a1, a3
    sltu    a3, a0, a1
    STOP    0xd

    START   3
    add     a0, a1, a3
    sltu    a3, a0, a3
    add     a0, a0, a3
    STOP    0x3c

    START   5
    add     a1, a1, a3
    sltu    a0, a1, a3
    add     a2, a2, a4
    add     a2, a2, a0
    sltu    a0, a2, a0
    STOP    0x0

    START   3
    sltu    a0, a3, a1
    sub     a3, a3, a1
    sub     a0, a2, a0
    STOP    0xeca8641f58b974fe

    START   2
    sub     a0, a3, a1
    sltu    a1, a3, a1
    STOP    0x1f

    START   2
    add     a0, a1, a1
    sltu    a0, a0, a1
    STOP    0x4

    START   2
    add     a1, a1, a1
    sltu    a0, a1, a1
    STOP    0x0

    START   2
    addi    a0, a1, 3
    sltiu   a0, a0, 3
    STOP    0x3

    START   2
    addi    a1, a1, 1
    seqz    a0, a1
    STOP    0x0

    START   4
    neg     a0, a2
    snez    a1, a2
    neg     a2, a4
    sub     a0, a2, a1
    STOP    0x9234567890abcdb0

    # ---- Wide products and divisions with their remainders
    START   3
    mul     a0, a2, a1
    mulhu   a1, a2, a1
    xor     a0, a0, a1
    STOP    0xeca905cf7a15a47a

    START   3
    mulhu   a0, a2, a1
    mul     a1, a2, a1
    sub     a0, a0, a1
    STOP    0x333333316e333319

    START   3
    mulh    a0, a2, a1
    mul     a1, a2, a1
    sub     a0, a0, a1
    STOP    0x8f5c28f45828f5b2

    START   3
    mulhsu  a0, a1, a2
    mul     a1, a2, a1
    sub     a0, a0, a1
    STOP    0x8f5c28f45828f5b2

    START   2
    mulhu   a2, a2, a1
    mul     a0, a2, a1
    STOP    0x258bf25937f258d5

    START   3
    div     a0, a2, a3
    rem     a1, a2, a3
    xor     a0, a0, a1
    STOP    0x20c49ba5d1353f8a

    START   3
    divu    a0, a1, a3
    remu    a3, a1, a3
    add     a0, a0, a3
    STOP    0xcccccccccccccd07

    START   3
    rem     a0, a1, a3
    div     a3, a1, a3
    sub     a0, a0, a3
    STOP    0xfffffffffffffffc

    START   2
    div     a2, a2, a3
    rem     a0, a2, a3
    STOP    0xc

    START   3
    div     a0, a2, x0
    rem     a1, a2, x0
    xor     a0, a0, a1
    STOP    0x92c5f92c9bf92c42

    START   3
    divw    a0, a2, a3
    remw    a1, a2, a3
    xor     a0, a0, a1
    STOP    0xc8645a00

    START   3
    divuw   a0, a1, a3
    remuw   a1, a1, a3
    xor     a0, a0, a1
    STOP    0x1ccccccbf

    START   3
    addiw   a3, a3, 0
    addiw   a2, a2, 0
    div     a0, a2, a3
    STOP    0x3a4114a44f1e43f

    START   5
    slli    a2, a2, 32
    srli    a2, a2, 32
    divu    a0, a2, a3
    remu    a1, a2, a3
    sub     a0, a0, a1
    STOP    0x20c49baf5b2f1903

    # ---- Minimum, maximum and conditional values without branches
    START   5
    slt     a0, a1, a3
    neg     a0, a0
    xor     a1, a1, a3
    and     a0, a0, a1
    xor     a0, a0, a3
    STOP    0xfffffffffffffeeb

    START   3
    srai    a0, a1, 63
    xor     a1, a1, a0
    sub     a0, a1, a0
    STOP    0xffffffffffffffea

    START   2
    sltu    a0, a1, a3
    xori    a0, a0, 1
    STOP    0x9

    START   2
    xor     a0, a1, a3
    seqz    a0, a0
    STOP    0x0

    START   2
    sub     a0, a2, a2
    snez    a0, a0
    STOP    0x1

    START   2
    not     a0, a2
    and     a0, a0, a4
    STOP    0x8000000000000001

    START   2
    xori    a0, a2, -1
    or      a0, a0, a4
    STOP    0x4962fc964dfc963a

    # ---- Byte order
    START   4
    slli    a0, a2, 8
    srli    a1, a2, 56
    or      a0, a0, a1
    slli    a3, a2, 24
    STOP    0x851eb7421eb837b9

    START   6
    srli    a0, a2, 8
    andi    a0, a0, 255
    slli    a1, a2, 8
    or      a0, a0, a1
    slli    a0, a0, 48
    srli    a0, a0, 48
    STOP    0x1517697

    # ---- Results that nobody reads
    START   2
    addi    a0, a1, 1
    addi    a0, a2, 1
    STOP    0x48d159e242af37c0

    START   2
    mul     a0, a1, a2
    addi    a0, x0, 3
    STOP    0xc

    START   2
    add     x0, a1, a2
    addi    a0, a0, 1
    STOP    0x20

    START   2
    addw    a0, a1, a2
    slli    a0, a0, 32
    STOP    0xb20369cb00000000

    START   2
    addi    a0, a0, 0
    mv      a0, a0
    STOP    0x1c

    # ---- A comparison and the branch on it: whole, and with 1 for its result
    .macro  BRANCHES op, reg, other, branch, expected
    li      s4, 0
    li      s0, 0
8:  li      a1, -3
    li      a3, 5
    li      a0, 1
    beqz    s0, 7f
    lla     t0, 7f + 4
    jr      t0
7:  \op     a0, \reg, \other
    \branch a0, 6f
    addi    s4, s4, 2
6:  slli    s4, s4, 4
    add     s4, s4, a0
    addi    s0, s0, 1
    li      t1, 2
    bne     s0, t1, 8b
    EXPECT  s4, \expected
    .endm

    BRANCHES slt, a1, a3, beqz, 0x231
    BRANCHES slt, a1, a3, bnez, 0x11
    BRANCHES slt, a3, a1, beqz, 0x21
    BRANCHES slt, a3, a1, bnez, 0x201
    BRANCHES sltu, a1, a3, beqz, 0x21
    BRANCHES sltu, a1, a3, bnez, 0x201
    BRANCHES sltu, a3, a1, beqz, 0x231
    BRANCHES sltu, a3, a1, bnez, 0x11
    BRANCHES slti, a1, 0, beqz, 0x231
    BRANCHES slti, a1, 0, bnez, 0x11
    BRANCHES slti, a3, 5, beqz, 0x21
    BRANCHES slti, a3, 5, bnez, 0x201
    BRANCHES sltiu, a3, 6, beqz, 0x231
    BRANCHES sltiu, a3, 6, bnez, 0x11
    BRANCHES sltiu, a1, -1, beqz, 0x231
    BRANCHES sltiu, a1, -1, bnez, 0x11
    BRANCHES andi, a3, 2, beqz, 0x21
    BRANCHES andi, a3, 2, bnez, 0x201
    BRANCHES andi, a3, 4, beqz, 0x261
    BRANCHES andi, a3, 4, bnez, 0x41
    BRANCHES xor, a1, a3, beqz, 0x1a1
    BRANCHES xor, a1, a3, bnez, 0xffffffffffffff81
    BRANCHES sub, a3, a3, beqz, 0x21
    BRANCHES sub, a3, a3, bnez, 0x201

    # ---- Short branches over one instruction (conditional moves)
    .macro  SHORT branch, first, second, expected
    li      a1, \first
    li      a2, \second
    mv      a0, a1
    \branch a1, a2, 6f
    mv      a0, a2
6:  EXPECT  a0, \expected
    lla     t0, 5f
    li      a0, 9
    \branch a1, a2, 6f
5:  mv      a0, a2
6:  slli    a0, a0, 1
    beqz    t0, 6f                      # the second time round
    mv      t1, t0
    li      t0, 0
    li      a0, 11
    jr      t1
6:  EXPECT  a0, "2*(\second)"
    .endm

    SHORT   blt, -1, 1, -1
    SHORT   blt, 1, -1, -1
    SHORT   bltu, -1, 1, 1
    SHORT   bltu, 1, -1, 1
    SHORT   bge, -1, 1, 1
    SHORT   bge, 1, 1, 1
    SHORT   bgeu, 3, 2, 3
    SHORT   beq, 2, 3, 3
    SHORT   bne, 2, 3, 2

    # ---- Loads and stores in a row, entered in the middle
    lla     s2, area
    li      s3, 0
    li      s5, 0
1:  li      a0, 0x0102030405060708
    sd      a0, 0(s2)
    sd      a0, 8(s2)
    lla     t0, 2f
    slli    t1, s3, 2
    add     t0, t0, t1
    li      a1, 0
    li      a2, 0
    li      a3, 0
    jr      t0
2:  lbu     a1, 1(s2)
    sb      a1, 8(s2)
    lhu     a2, 8(s2)
    sh      a2, 3(s2)
    lw      a3, 2(s2)
    sw      a3, 12(s2)
    ld      a0, 5(s2)
    add     a0, a0, a1
    add     a0, a0, a2
    add     a0, a0, a3
    slli    t0, s5, 1
    add     s5, s5, t0
    add     s5, s5, a0
    addi    s3, s3, 1
    li      t0, 10
    bne     s3, t0, 1b
    EXPECT  s5, 0xde33fc01a6262221

    .bss
    .balign 16
area:
    .zero   32
    .text

    END     "pairs"
