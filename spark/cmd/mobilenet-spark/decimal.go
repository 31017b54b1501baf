package main

import (
	"fmt"
	"math/big"

	"github.com/parquet-go/parquet-go"
)

// decimalText is a decimal of Parquet: a whole number, which bytes have with the highest
// first, over 10 to the power of scale.
func decimalText(v parquet.Value, scale int) string {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray()
		if n.SetBytes(b); len(b) > 0 && b[0] >= 1<<7 { // two's complement
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	return new(big.Rat).SetFrac(n, tenTo(scale)).FloatString(scale)
}

// decimalValue is a decimal as Spark writes it: of up to 9 digits in 32 bits, of up to 18 in
// 64, of more in as few bytes as hold all of them.
func decimalValue(text string, precision, scale int) (parquet.Value, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return parquet.Value{}, fmt.Errorf("%q is no number", text)
	}
	r.Mul(r, new(big.Rat).SetInt(tenTo(scale)))
	n := r.Num()
	if !r.IsInt() || n.CmpAbs(tenTo(precision)) >= 0 {
		return parquet.Value{}, fmt.Errorf("%s has more digits than DECIMAL(%d,%d)", text, precision, scale)
	}
	switch {
	case precision <= 9:
		return parquet.Int32Value(int32(n.Int64())), nil
	case precision <= 18:
		return parquet.Int64Value(n.Int64()), nil
	}
	size := decimalBytes(precision)
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return parquet.FixedLenByteArrayValue(n.FillBytes(make([]byte, size))), nil
}

// decimalLeaf is a column of decimals.
func decimalLeaf(precision, scale int) parquet.Node {
	switch {
	case precision <= 9:
		return parquet.Decimal(scale, precision, parquet.Int32Type)
	case precision <= 18:
		return parquet.Decimal(scale, precision, parquet.Int64Type)
	}
	return parquet.Decimal(scale, precision, parquet.FixedLenByteArrayType(decimalBytes(precision)))
}

// decimalBytes is how many bytes, with a sign, hold every whole number of so many digits.
func decimalBytes(precision int) int { return tenTo(precision).BitLen()/8 + 1 }

func tenTo(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
