// The ROM of a bare machine that calls kernels: from the reset vector to 64-bit
// mode with AVX-512 enabled, then through a table of calls. After them it
// compares memory with what is expected and prints the result on port E9, which
// bochs copies to its standard output.

#define IMAGE   0x400000             // what bochs loads: see emulated_amd64_test.go
#define CALLS   (IMAGE + 32)         // pairs of function and argument, then 0

	.code16
start16:
	mov %cs, %ax
	mov %ax, %ds
	lgdtl gdtr
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $8, $(0xf0000 + start32)

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9a000000ffff        // 32-bit code
	.quad 0x00cf92000000ffff        // data
	.quad 0x00af9a000000ffff        // 64-bit code
gdtr:	.word 31
	.long 0xf0000 + gdt

	.code32
start32:
	mov $16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	cld

	// Bochs gives out host memory by blocks of 128 KB in the order of their
	// first use, but has loaded the image in one piece: first use in order.
	mov $(IMAGE + 0x20000), %edi
1:	mov (%edi), %eax
	add $0x20000, %edi
	cmp $(IMAGE + 0x2400000), %edi
	jb 1b

	// Page tables at 10000: 2 MB pages, the first GB as it is.
	mov $0x10000, %edi
	xor %eax, %eax
	mov $0xc00, %ecx
	rep stosl
	movl $0x11003, 0x10000
	movl $0x12003, 0x11000
	mov $0x12000, %edi
	mov $0x83, %eax
2:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	cmp $0x40000000, %eax
	jb 2b

	mov $0x40620, %eax              // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
	mov %eax, %cr4
	mov $0x10000, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx           // EFER
	rdmsr
	or $0x100, %eax                 // LME
	wrmsr
	mov %cr0, %eax
	or $0x80000002, %eax            // PG, MP
	and $0xfffffffb, %eax           // no EM
	mov %eax, %cr0
	ljmpl $24, $(0xf0000 + start64)

	.code64
start64:
	xor %ecx, %ecx
	xor %edx, %edx
	mov $0xe7, %eax                 // x87, SSE, AVX and the three of AVX-512
	xsetbv
	mov $0x300000, %esp
	mov $CALLS, %ebx
3:	mov (%rbx), %rax
	test %rax, %rax
	jz compare
	push %rbx
	push 8(%rbx)
	call *%rax
	pop %rax
	pop %rbx
	add $16, %rbx
	jmp 3b

	// IMAGE holds where the data and the expected data are, and how many floats.
compare:
	mov IMAGE, %rsi
	mov IMAGE + 8, %rdi
	mov IMAGE + 16, %rcx
	repe cmpsl
	lea same(%rip), %rbx
	je 4f
	lea differs(%rip), %rbx
4:	mov %rbx, %rsi
	mov $0xe9, %edx
	mov $6, %ecx
	rep outsb
	lea shutdown(%rip), %rsi
	mov $0x8900, %edx
	mov $8, %ecx
	rep outsb
	hlt

same:	.ascii "SAME\n\n"
differs:
	.ascii "OTHER\n"
shutdown:
	.ascii "Shutdown"

	.org 0xfff0                     // the reset vector
	.code16
	ljmp $0xf000, $start16
	.org 0x10000
