package pause

import (
	"debug/elf"
	"encoding/binary"
)

const machine = elf.EM_AARCH64

// code is for Linux on arm64.
var code = words( //nolint:gochecknoglobals // a table
	0x910003f3, // mov x19, sp
	0xd28014e8, // mov x8, #167 prctl
	0xd2800080, // mov x0, #4 PR_SET_DUMPABLE
	0xd2800001, // mov x1, #0
	0xd4000001, // svc #0
	0xd10083ff, // sub sp, sp, #32
	// again:
	0xd2800089, // mov x9, #4 SocketFD
	0xf2c00029, // movk x9, #1, lsl #32 POLLIN
	0xf90003e9, // str x9, [sp]
	0xd2800129, // mov x9, #9 AliveFD
	0xf2c00029, // movk x9, #1, lsl #32 POLLIN
	0xf90007e9, // str x9, [sp, #8]
	0xd2800928, // mov x8, #73 ppoll
	0x910003e0, // mov x0, sp
	0xd2800041, // mov x1, #2
	0xd2800002, // mov x2, #0
	0xd2800003, // mov x3, #0
	0xd2800104, // mov x4, #8 size of a signal set
	0xd4000001, // svc #0
	0x7100001f, // cmp w0, #0
	0x54fffe4d, // b.le again
	0x79400fe9, // ldrh w9, [sp, #6]
	0x35000189, // cbnz w9, become
	0x580002a9, // ldr x9, grace
	0xf9000be9, // str x9, [sp, #16]
	0x580002a9, // ldr x9, grace+8
	0xf9000fe9, // str x9, [sp, #24]
	0x910003e0, // mov x0, sp
	0xd2800021, // mov x1, #1
	0x910043e2, // add x2, sp, #16
	0xd4000001, // svc #0
	0x7100001f, // cmp w0, #0
	0x54fffccb, // b.lt again
	0x54000100, // b.eq leave
	// become:
	0xd2801ba8, // mov x8, #221 execve
	0x100001a0, // adr x0, path
	0x91002261, // add x1, x19, #8
	0xf9400262, // ldr x2, [x19]
	0x8b020e62, // add x2, x19, x2, lsl #3
	0x91004042, // add x2, x2, #16
	0xd4000001, // svc #0
	// leave:
	0xd2800bc8, // mov x8, #94 exit_group
	0xd2800020, // mov x0, #1
	0xd4000001, // svc #0
)

// words are the instructions as they are in memory.
func words(instructions ...uint32) []byte {
	var code []byte
	for _, word := range instructions {
		code = binary.LittleEndian.AppendUint32(code, word)
	}
	return code
}
