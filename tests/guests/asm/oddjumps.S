# Jumps to places that no symbol, branch or table names: the middle of a block,
# the inside of a 4-byte instruction, code pointers made by arithmetic, and
# blocks that are entered both by a jump and by falling in.
    .include "asm/check.inc"

    # The layout is part of these tests.
    .option norelax

    .macro  EACH_REGISTER m
    .irp    r, ra, t0, t1, t2, s2, s3, a0, a1, a2, a3, a4, a5, a6, a7, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5
    \m      \r
    .endr
    .endm

    BEGIN
    # ---- The middle of a straight block: each of its ten instructions in turn
    .option push
    .option norvc
    li      s0, 0
    li      s1, 0
1:  lla     a1, 2f
    slli    a2, s0, 2
    add     a1, a1, a2
    jr      a1
2:
    .rept   10
    addi    s1, s1, 1
    .endr
    addi    s0, s0, 1
    li      t0, 10
    ble     s0, t0, 1b
    EXPECT  s1, 55
    .option pop

    # The same with 2-byte instructions
    li      s0, 9
    li      s1, 0
1:  lla     a1, 2f
    slli    a2, s0, 1
    add     a1, a1, a2
    jr      a1
2:
    .rept   10
    c.addi  s1, 3
    .endr
    addi    s0, s0, -1
    bgez    s0, 1b
    EXPECT  s1, 165

    # ---- Inside a 4-byte instruction: its upper half is c.addi a0, 1
    li      a0, 0
    lla     a1, 3f + 2
    jr      a1
3:  .4byte  0x050502b7                  # lui t0, 0x05050
    EXPECT  a0, 1
    li      t0, 0
    li      s0, 2
4:  addi    s0, s0, -1
    beqz    s0, 6f
    lla     a1, 5f + 2
    jr      a1
6:  li      t0, 1                       # falls into the whole instruction
5:  .4byte  0x050502b7
    addi    a0, a0, 16
    bnez    s0, 4b
    EXPECT  a0, 34
    EXPECT  t0, 0x05050000

    # Overlapping streams: the words are lui t1, but from the third byte on the
    # same bytes are addi a4, a4, 51 three times, then c.nop, where both meet.
    li      s0, 2
    li      a4, 0
    li      t1, 0
    lla     a1, 7f + 2
    jr      a1
7:  .4byte  0x07130337, 0x07130337, 0x07130337, 0x00010337
    addi    s0, s0, -1
    beqz    s0, 8f
    EXPECT  a4, 153
    EXPECT  t1, 0
    j       7b
8:  EXPECT  a4, 153
    EXPECT  t1, 0x10000

    # ---- After auipc: the next instruction is a branch target too
    li      s0, 3
    li      s2, 0
    .option push
    .option norvc
9:  auipc   a0, 0
10: addi    a0, a0, 64
    lla     a1, 9b
    addi    s0, s0, -1
    add     s2, s2, a0
    sub     s2, s2, a1
    beqz    s0, 11f
    add     a0, a1, s0                  # a0 is not what auipc left
    j       10b
11: EXPECT  s2, 64 + 64 + 2 + 64 + 1
    # lui the same way
    li      s0, 2
    li      s2, 0
    lui     a0, 0x12345
12: addi    a0, a0, 0x678
    add     s2, s2, a0
    addi    s0, s0, -1
    li      a0, 5
    bnez    s0, 12b
    EXPECT  s2, 0x12345678 + 0x678 + 5
    # auipc before a load, and before jalr
    li      s0, 2
    li      s2, 0
13: auipc   a0, %pcrel_hi(words)
14: ld      a1, %pcrel_lo(13b)(a0)
    add     s2, s2, a1
    addi    s0, s0, -1
    beqz    s0, 15f
    addi    a0, a0, 8
    j       14b
15: EXPECT  s2, 0x1111 + 0x2222
    li      s2, 0
    li      s0, 2
16: auipc   ra, 0
17: jalr    ra, 32(ra)                  # to 16b + 32, then to 16b + 36
    addi    s0, s0, -1
    beqz    s0, 18f
    lla     ra, 16b + 4
    j       17b
    nop
    addi    s2, s2, 0x100               # 16b + 32
    addi    s2, s2, 0x11
    ret
18: EXPECT  s2, 0x122
    .option pop

    # ---- Code pointers made at run time
    lla     a1, hidden                  # stored with a constant added
    ld      a1, 0(a1)
    li      a2, 0x123456789000
    sub     a1, a1, a2
    jr      a1
    UNREACHABLE
hidden_target:
    lla     a1, offsets                 # 32-bit offsets from the table
    lw      a2, 4(a1)
    add     a1, a1, a2
    jr      a1
    UNREACHABLE
offset_target:
    lla     a1, short_offsets           # 16-bit distances
    lhu     a2, 2(a1)
    lla     a3, offset_target
    add     a2, a2, a3
    jr      a2
    UNREACHABLE
short_target:
    lla     a1, pointers                # pointers in data, one to mid-block
    li      s0, 0
    li      s1, 3
19: slli    a2, s1, 3
    add     a2, a2, a1
    ld      a2, -8(a2)
    jalr    a2
    addi    s1, s1, -1
    bnez    s1, 19b
    EXPECT  s0, 7 + 6 + 4
    # A pointer made digit by digit
    lla     a0, 20f
    li      a1, 0
    li      t1, 60
21: srl     t2, a0, t1
    andi    t2, t2, 15
    slli    a1, a1, 4
    or      a1, a1, t2
    addi    t1, t1, -4
    bgez    t1, 21b
    jr      a1
    UNREACHABLE
20:

    # ---- Forms of jalr
    lla     a0, 22f + 2040
    jalr    x0, -2040(a0)
    UNREACHABLE
22: lla     a0, 23f - 2047
    jalr    a0, 2047(a0)                # link and target are one register
24: UNREACHABLE
23: lla     a1, 24b
    EXPECT_REG a0, a1
    lla     a0, 25f + 1                 # bit 0 is cleared, after the addition
    jalr    x0, 0(a0)
    UNREACHABLE
25: lla     a0, 26f - 2
    jalr    x0, 3(a0)
    UNREACHABLE
26:
    # Through every register
    .macro  THROUGH r
    lla     \r, 1f
    jr      \r
    UNREACHABLE
1:  lla     \r, 1f
    jalr    \r, \r
2:  UNREACHABLE
1:  lla     t6, 2b
    EXPECT_REG \r, t6
    .endm
    mv      s0, ra
    EACH_REGISTER THROUGH
    mv      ra, s0

    # ---- Returns to other places
    li      s0, 0
    call    return_two_further
    c.addi  s0, 1                       # skipped
    c.addi  s0, 2
    EXPECT  s0, 2
    call    return_into_addi
    .4byte  0x050502b7                  # entered at its upper half
    EXPECT  a0, 8
    jal     t0, save_some               # the alternate link register
    jal     t0, restore_some
    EXPECT  a0, 1234
    li      a0, 0                       # calls whose return address is never used
    jal     ra, 27f
27: jal     ra, 28f
28: jal     x0, 29f
29: call    tail_one
    EXPECT  a0, 3
    # A stack of return addresses that was built by hand
    addi    sp, sp, -32
    lla     a1, 30f
    sd      a1, 16(sp)
    lla     a1, pop_return + 4
    sd      a1, 8(sp)
    lla     a1, pop_return
    sd      a1, 0(sp)
    li      s0, 0
    j       pop_return
30: addi    sp, sp, 8
    EXPECT  s0, 2

    # ---- Tight loops
    li      a0, 100
31: addi    a0, a0, -1
    bnez    a0, 31b
    li      a0, 5
    lla     a1, 32f + 4
    jr      a1                          # enters the loop behind its first instruction
    .option push
    .option norvc
32: addi    a0, a0, -1
    addi    s0, s0, 1
    bnez    a0, 32b
    .option pop
    EXPECT  s0, 8
    li      a0, 0                       # branch to the next instruction
    beqz    a0, 33f
33: bnez    a0, 34f
34:
    END     "oddjumps"

    .text
ladder:
    addi    s0, s0, 1
ladder_second:
    addi    s0, s0, 2
    addi    s0, s0, 4
    ret

return_two_further:
    addi    ra, ra, 2
    ret
return_into_addi:
    li      a0, 7
    addi    ra, ra, 2
    ret
save_some:
    addi    sp, sp, -16
    li      a0, 1234
    sd      a0, 8(sp)
    li      a0, 0
    jr      t0
restore_some:
    ld      a0, 8(sp)
    addi    sp, sp, 16
    jr      t0
tail_one:
    addi    a0, a0, 1
    j       tail_two
tail_two:
    addi    a0, a0, 2
    ret
    .option push
    .option norvc
pop_return:
    addi    s0, s0, 1
    ld      ra, 0(sp)
    addi    sp, sp, 8
    ret
    .option pop

    .data
    .balign 8
words:
    .dword  0x1111, 0x2222
hidden:
    .dword  hidden_target + 0x123456789000
pointers:
    .dword  ladder, ladder_second, ladder_second + 2
offsets:
    .word   0, offset_target - offsets
short_offsets:
    .half   0, short_target - offset_target
