#include "textflag.h"

// The weights of 32 bytes.
DATA weights<>+0(SB)/8, $0x191a1b1c1d1e1f20
DATA weights<>+8(SB)/8, $0x1112131415161718
DATA weights<>+16(SB)/8, $0x090a0b0c0d0e0f10
DATA weights<>+24(SB)/8, $0x0102030405060708
GLOBL weights<>(SB), RODATA|NOPTR, $32

DATA ones<>+0(SB)/8, $0x0001000100010001
GLOBL ones<>(SB), RODATA|NOPTR, $8

// func sums(p *byte, n int) (total, before, weighted uint64)
TEXT ·sums(SB), NOSPLIT, $0-40
	MOVQ         p+0(FP), SI
	MOVQ         n+8(FP), CX
	VPXOR        Y0, Y0, Y0           // zero
	VPXOR        Y1, Y1, Y1           // total, four numbers of 64 bits
	VPXOR        Y2, Y2, Y2           // before, the same
	VPXOR        Y3, Y3, Y3           // weighted, eight numbers of 32 bits
	VMOVDQU      weights<>(SB), Y4
	VPBROADCASTQ ones<>(SB), Y5

loop:
	VMOVDQU    (SI), Y6
	VPADDQ     Y1, Y2, Y2
	VPSADBW    Y0, Y6, Y7             // the sum of each 8 bytes
	VPADDQ     Y7, Y1, Y1
	VPMADDUBSW Y4, Y6, Y6             // bytes times weights, in pairs: at most 255*(32+31)
	VPMADDWD   Y5, Y6, Y6             // pairs of these
	VPADDD     Y6, Y3, Y3
	ADDQ       $32, SI
	DECQ       CX
	JNZ        loop

	VEXTRACTI128 $1, Y1, X6
	VPADDQ       X6, X1, X1
	VPSRLDQ      $8, X1, X6
	VPADDQ       X6, X1, X1
	VMOVQ        X1, AX
	MOVQ         AX, total+16(FP)
	VEXTRACTI128 $1, Y2, X6
	VPADDQ       X6, X2, X2
	VPSRLDQ      $8, X2, X6
	VPADDQ       X6, X2, X2
	VMOVQ        X2, AX
	MOVQ         AX, before+24(FP)
	VPSRLQ       $32, Y3, Y6          // the odd ones of the eight; the even ones are what is left below
	VPBLENDD     $0xaa, Y0, Y3, Y3
	VPADDQ       Y6, Y3, Y3
	VEXTRACTI128 $1, Y3, X6
	VPADDQ       X6, X3, X3
	VPSRLDQ      $8, X3, X6
	VPADDQ       X6, X3, X3
	VMOVQ        X3, AX
	MOVQ         AX, weighted+32(FP)
	VZEROUPPER
	RET
