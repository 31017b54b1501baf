package kernel

import "fmt"

// check panics unless a's slices hold what the kernel will touch: an assembly
// kernel has no other bounds check.
func (a *Pointwise) check() {
	need("Pixels", a.Pixels >= 0 && a.K >= 1)
	checkNR(a.NR)
	rows := (a.Pixels-1)*Block + a.NR
	last := (a.K - 1) / Block // the last input block
	need("Dst", len(a.Dst) >= rows)
	need("Add", a.Add == nil || len(a.Add) >= rows)
	need("Src", a.SrcStride >= 0 && len(a.Src) >= last*a.SrcStride+(a.Pixels-1)*Block+a.K-last*Block)
	need("W", len(a.W) >= a.K*a.NR)
	need("Bias", len(a.Bias) >= a.NR)
}

func (a *Depthwise) check() {
	need("Width", a.Width >= 1)
	need("Stride and Left", a.Stride == 1 && a.Left == 1 || a.Stride == 2 && a.Left&^1 == 0)
	checkNR(a.NR)
	need("Rows", len(a.Rows) >= 3)
	need("Dst", len(a.Dst) >= (a.OutHeight()*a.OutWidth()-1)*Block+a.NR)
	for _, row := range a.Rows {
		need("a row", len(row) >= (a.Width-1)*Block+a.NR)
	}
	need("W", len(a.W) >= 9*a.NR)
	need("Bias", len(a.Bias) >= a.NR)
}

func (a *First) check() {
	need("Width", a.Width >= 1)
	checkNR(a.NR)
	need("Dst", len(a.Dst) >= (a.Width-1)*Block+a.NR)
	for _, row := range a.Rows {
		need("Rows", len(row) >= 6*a.Width+3)
	}
	need("W", len(a.W) >= 27*a.NR)
	need("Bias", len(a.Bias) >= a.NR)
}

func (a *Pool) check() {
	need("Pixels", a.Pixels >= 1)
	need("Dst", len(a.Dst) >= Block)
	need("Src", len(a.Src) >= a.Pixels*Block)
}

func checkNR(nr int) { need("NR", nr >= 8 && nr <= Block && nr%8 == 0) }

func need(what string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("kernel: %s is too short or out of range", what))
	}
}
