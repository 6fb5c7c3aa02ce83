# Faults by name: argv[1] selects one. Each prints its name first, does some
# loads and stores, and then faults at the label fault_at_NAME; where the jump
# itself is fine and its target is not, the label is on the jump. Without an
# argument, or with an unknown one, the status is 2.

    .text
    .globl  guest_main
    .type   guest_main, @function
guest_main:
    addi    sp, sp, -32
    sd      ra, 24(sp)
    sd      s0, 16(sp)
    sd      s1, 8(sp)
    li      t0, 2
    bne     a0, t0, .Lunknown
    ld      s1, 8(a1)
    lla     s0, table
.Lnext:
    ld      a1, 0(s0)
    beqz    a1, .Lunknown
    mv      a0, s1
    call    strcmp
    beqz    a0, .Lfound
    addi    s0, s0, 16
    j       .Lnext
.Lfound:
    mv      a0, s1
    call    g_puts
    li      a0, 10
    call    g_putc
    call    g_flush
    lla     s1, data
    li      a5, 0x1122334455667788
    ld      t0, 8(s0)
    jalr    t0
    lla     a0, survived                # nothing here comes back
    call    g_puts
    li      a0, 3
    j       .Lend
.Lunknown:
    li      a0, 2
.Lend:
    ld      ra, 24(sp)
    ld      s0, 16(sp)
    ld      s1, 8(sp)
    addi    sp, sp, 32
    ret
    .size   guest_main, . - guest_main

    # name, address: the table is in writable data, reached only through it
    .macro  FAULT name
    .pushsection .rodata
.Lname_\name:
    .asciz  "\name"
    .popsection
    .pushsection .data
    .dword  .Lname_\name, do_\name
    .popsection
    .globl  do_\name
    .type   do_\name, @function
do_\name:
    ld      a0, 0(s1)
    sd      a0, 8(s1)
    lw      a1, 4(s1)
    .endm

    .macro  AT name
    .globl  fault_at_\name
fault_at_\name:
    .endm

    .data
    .balign 16
table:
    .text

    # ---- loads
    FAULT   load_null
    li      a2, 0
    AT      load_null
    ld      a3, 16(a2)
    ret

    FAULT   load_unmapped
    li      a2, 0x50000000
    AT      load_unmapped
    lbu     a3, 3(a2)
    ret

    FAULT   load_negative               # -8, an address above 4 GiB
    li      a2, 0
    AT      load_negative
    ld      a3, -8(a2)
    ret

    FAULT   load_high                   # mapped in its lower 32 bits, not in all 64
    li      a2, 1 << 32
    add     a2, a2, s1
    AT      load_high
    ld      a3, 0(a2)
    ret

    FAULT   load_compressed
    li      a2, 0x50000000
    AT      load_compressed
    c.ld    a3, 8(a2)
    ret

    FAULT   load_protected              # a page without any access
    call    map_two_pages
    call    protect_second
    lw      a3, 4(a0)
    AT      load_protected
    lw      a3, 0(a4)
    ret

    FAULT   load_crossing               # begins in a page that is there
    call    map_two_pages
    call    unmap_second
    ld      a3, -8(a4)
    AT      load_crossing
    ld      a3, -4(a4)
    ret

    FAULT   load_x0                     # the value is dropped, the fault is not
    li      a2, 0x50000000
    AT      load_x0
    lw      x0, 0(a2)
    ret

    # ---- stores
    FAULT   store_null
    AT      store_null
    sd      a5, 16(x0)
    ret

    FAULT   store_unmapped
    li      a2, 0x50000000
    AT      store_unmapped
    sb      a5, 0(a2)
    ret

    FAULT   store_text
    lla     a2, do_store_text
    lw      a3, 0(a2)
    AT      store_text
    sw      a3, 0(a2)
    ret

    FAULT   store_rodata
    lla     a2, survived
    AT      store_rodata
    sh      a5, 2(a2)
    ret

    FAULT   store_high
    li      a2, 1 << 32
    add     a2, a2, s1
    AT      store_high
    sd      a5, 0(a2)
    ret

    FAULT   store_crossing
    call    map_two_pages
    call    unmap_second
    sd      a5, -8(a4)
    AT      store_crossing
    sd      a5, -1(a4)
    ret

    FAULT   store_protected             # a page that may only be read
    call    map_two_pages
    li      a0, 4096
    add     a0, a0, s2
    li      a1, 4096
    li      a2, 1                       # PROT_READ
    li      a7, 226                     # mprotect
    ecall
    lw      a3, 0(a4)
    AT      store_protected
    sw      a5, 0(a4)
    ret

    # ---- atomics
    FAULT   amo_unmapped
    li      a2, 0x50000000
    AT      amo_unmapped
    amoadd.d a3, a5, (a2)
    ret

    FAULT   amo_rodata                  # readable, not writable: nothing is read
    lla     a2, constants
    AT      amo_rodata
    amoor.w a3, a5, (a2)
    ret

    FAULT   lr_unmapped
    li      a2, 0x50000000
    AT      lr_unmapped
    lr.d    a3, (a2)
    ret

    FAULT   amo_misaligned_w
    addi    a2, s1, 2
    AT      amo_misaligned_w
    amoswap.w a3, a5, (a2)
    ret

    FAULT   amo_misaligned_d
    addi    a2, s1, 4
    AT      amo_misaligned_d
    amomaxu.d a3, a5, (a2)
    ret

    FAULT   lr_misaligned
    addi    a2, s1, 1
    AT      lr_misaligned
    lr.w    a3, (a2)
    ret

    FAULT   sc_misaligned
    lr.d    a3, (s1)
    addi    a2, s1, 4
    AT      sc_misaligned
    sc.d    a3, a5, (a2)
    ret

    # ---- illegal instructions
    FAULT   illegal_zero
    AT      illegal_zero
    .half   0
    ret

    FAULT   illegal_ones
    AT      illegal_ones
    .word   0xffffffff
    ret

    FAULT   illegal_compressed          # c.addi4spn with an immediate of zero
    AT      illegal_compressed
    .half   0x0010
    ret

    FAULT   illegal_opcode              # custom-0
    AT      illegal_opcode
    .word   0x0000000b
    ret

    FAULT   illegal_funct               # add with an unknown funct7
    AT      illegal_funct
    .word   0x54c58533
    ret

    FAULT   csr_unknown                 # mstatus
    AT      csr_unknown
    csrr    a3, 0x300
    ret

    FAULT   csr_write                   # counters are read-only
    csrr    a3, cycle
    AT      csr_write
    csrrw   a3, cycle, a3
    ret

    FAULT   csr_set
    AT      csr_set
    csrrsi  x0, instret, 1
    ret

    # ---- breakpoints
    FAULT   ebreak
    AT      ebreak
    .option push
    .option norvc
    ebreak
    .option pop
    ret

    FAULT   c_ebreak
    AT      c_ebreak
    c.ebreak
    ret

    # ---- jumps to where no code is
    FAULT   jump_null
    li      a2, 0
    AT      jump_null
    jalr    a2
    ret

    FAULT   jump_unmapped
    li      a2, 0x50000000
    AT      jump_unmapped
    jr      a2

    FAULT   jump_data
    AT      jump_data
    jr      s1

    FAULT   jump_rodata
    lla     a2, constants
    AT      jump_rodata
    jalr    a2
    ret

    FAULT   jump_stack
    addi    sp, sp, -16
    li      a2, 0x00008067              # ret, written to the stack
    sw      a2, 0(sp)
    AT      jump_stack
    jr      sp

    FAULT   jump_high
    lla     a2, do_jump_high
    li      a3, 1 << 32
    add     a2, a2, a3
    AT      jump_high
    jr      a2

    FAULT   return_null
    li      ra, 0
    AT      return_null
    ret

    # ---- the stack's end
    FAULT   stack_overflow
    li      s2, 0
.Ldeeper:
    addi    sp, sp, -2048
    addi    s2, s2, 1
    ld      a3, 0(s1)
    AT      stack_overflow
    sd      s2, 8(sp)
    j       .Ldeeper

    # ---- in the middle of a straight block, with reads and writes on both sides
    .macro  LONG_BLOCK name, instruction:vararg
    FAULT   \name
    li      a2, 0x50000000
    li      a6, 0
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
    lbu     a3, \n(s1)
    lhu     a4, \n(s1)
    add     a6, a6, a3
    sw      a6, 16+4*\n(s1)
    ld      t1, 8+\n(s1)
    xor     a6, a6, t1
    amoadd.w t2, a6, (s1)
    sd      a6, 40+\n(s1)
    .endr
    AT      \name
    \instruction
    .irp    n, 0, 1, 2, 3
    ld      a3, 8*\n(s1)
    add     a6, a6, a3
    sd      a6, 64+8*\n(s1)
    .endr
    ret
    .endm

    LONG_BLOCK middle_load, lw a3, 8(a2)
    LONG_BLOCK middle_store, sw a3, 8(a2)
    LONG_BLOCK middle_illegal, .word 0xffffffff
    LONG_BLOCK middle_ebreak, c.ebreak
    LONG_BLOCK middle_amo, amoxor.d a3, a4, (a2)

    # The hundredth round of a loop faults, at its second load
    FAULT   loop_load
    call    map_two_pages
    call    unmap_second
    addi    a0, a4, -800
    li      a6, 0
.Lround:
    ld      a2, 0(s1)
    AT      loop_load
    ld      a3, 8(a0)
    add     a6, a6, a3
    addi    a0, a0, 8
    j       .Lround

    # ---- s2 = two fresh pages, a0 too; a4 = the second
    .type   map_two_pages, @function
map_two_pages:
    li      a0, 0
    li      a1, 8192
    li      a2, 3                       # PROT_READ | PROT_WRITE
    li      a3, 0x22                    # MAP_PRIVATE | MAP_ANONYMOUS
    li      a4, -1
    li      a5, 0
    li      a7, 222                     # mmap
    ecall
    mv      s2, a0
    li      a4, 4096
    add     a4, a4, s2
    li      a5, 0x1122334455667788
    ret
    .type   protect_second, @function
protect_second:
    mv      a0, a4
    li      a1, 4096
    li      a2, 0
    li      a7, 226                     # mprotect
    ecall
    mv      a0, s2
    ret
    .type   unmap_second, @function
unmap_second:
    mv      a0, a4
    li      a1, 4096
    li      a7, 215                     # munmap
    ecall
    mv      a0, s2
    ret

    .data
    .dword  0, 0                        # ends the table
    .globl  data
    .balign 16
data:
    .dword  0x0123456789abcdef, 0
    .zero   256

    .section .rodata
survived:
    .asciz  "no fault\n"
    .balign 8
constants:
    .dword  0x0000806700008067, 0       # two times ret, which must not run
