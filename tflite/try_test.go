package tflite

import ("testing";"os";"github.com/mobilenet-go/mobilenet/checkpoint";"fmt")

func TestTry(t *testing.T) {
	m, err := checkpoint.Open(os.Getenv("TFLITE"))
	if err != nil { t.Skip() }
	if len(m.Labels)==0 { for i := range m.Config.Classes { m.Labels = append(m.Labels, fmt.Sprint("class ", i)) } }
	for _, half := range []bool{false,true} {
	data, err := Export(m, Options{Half: half})
	if err != nil { t.Fatal(err) }
	os.WriteFile(fmt.Sprintf("/tmp/tflite/out%v.tflite", half), data, 0644)
	b, err := Parse(data)
	if err != nil { t.Fatal(err) }
	fmt.Printf("%v %+v\n%+v %v %q %d %v\n", b.Config.Equal(m.Config), b.Config, b.Assumed, b.Notes, b.Labels[:3], len(b.Labels), b.Dequantized)
	}
}
