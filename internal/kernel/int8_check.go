package kernel

// The checks are all that bounds what assembly touches: see check.go.

func (a *PointwiseInt8) check() {
	need("Pixels", a.Pixels >= 0)
	a.Filter.check()
	whole := a.Pixels * Block
	if a.Float == nil {
		need("Dst", len(a.Dst) >= whole)
		a.Range.check()
		need("Add without Float", a.Add == nil)
	} else {
		need("Float", len(a.Float) >= whole)
		need("Dst beside Float", a.Dst == nil)
		need("Add", a.Add == nil || len(a.Add) >= whole)
	}
	need("Src", a.SrcStride >= 0 && len(a.Src) >= (Blocks(a.Filter.K)-1)*a.SrcStride+whole)
}

func (a *DepthwiseInt8) check() {
	need("Width", a.Width >= 1)
	need("Stride and Left", a.Stride == 1 && a.Left == 1 || a.Stride == 2 && a.Left&^1 == 0)
	need("More", a.More >= 0)
	need("Dst", len(a.Dst) >= (1+a.More)*a.OutWidth()*Block)
	row := (1 + a.More*a.Stride) * a.Width * Block
	for j := range a.Rows { // ranging over the rows themselves would copy them first
		need("Rows", len(a.Rows[j]) >= row)
	}
	a.Filter.check()
	need("Filter, which is another kernel's,", a.Filter.K == DepthwiseK && a.Filter.NR == Block)
	a.Range.check()
}

func (a *FirstInt8) check() {
	need("Width", a.Width >= 1)
	need("Dst", len(a.Dst) >= a.Width*Block)
	for j := range a.Rows {
		need("Rows", len(a.Rows[j]) >= 6*a.Width+6)
	}
	a.Filter.check()
	need("Filter, which is another kernel's,", a.Filter.K == FirstK)
	a.Range.check()
}

func (a *AddInt8) check() {
	need("Dst", len(a.Dst)%Block == 0)
	need("A", len(a.A) == len(a.Dst))
	need("B", len(a.B) == len(a.Dst))
	a.Range.check()
}

func (a *AddFixedInt8) check() {
	need("Dst", len(a.Dst)%Block == 0)
	need("A", len(a.A) == len(a.Dst))
	need("B", len(a.B) == len(a.Dst))
	need("Shift", a.Shift >= 0 && a.Shift <= 31)
	a.Range.check()
}

func (a *PoolInt8) check() {
	need("Pixels", a.Pixels >= 1)
	need("Src", len(a.Src) >= a.Pixels*Block)
	if a.Float == nil {
		need("Dst", len(a.Dst) >= Block)
		a.Range.check()
	} else {
		need("Float", len(a.Float) >= Block)
		need("Dst beside Float", a.Dst == nil)
	}
}

func (a *QuantizeInt8) check() {
	need("Src", len(a.Src) >= len(a.Dst))
	a.Range.check()
}

func (a *LookupInt8) check() {
	need("Src", len(a.Src) >= len(a.Dst))
	need("Table", a.Table != nil)
}

func (f *Filter) check() {
	need("Filter", f != nil)
	need("K", f.K >= 1)
	checkNR(f.NR)
	weights := groups(f.K) * group * f.NR
	need("W8 or W16", len(f.W8) >= weights && f.W16 == nil || len(f.W16) >= weights && f.W8 == nil)
	need("Bias", len(f.Bias) >= f.NR)
	need("M", len(f.M) >= f.NR)
}

func (r *Range) check() {
	need("Range", 0 <= r.Min && r.Min <= r.Max && r.Max <= 255 && 0 <= r.Zero && r.Zero <= 255)
}
