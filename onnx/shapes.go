package onnx

// Shapes returns what is known of the values of p, by name: what the file states
// and, for other values, what follows from their operators. An operator that its
// inputs do not suit ends the search; [Check] says which.
func Shapes(p *Proto) map[string]*ValueInfo {
	shapes := map[string]*ValueInfo{}
	in, _ := infer(p) // what came before an error holds
	for name, t := range in.types {
		if t.ranked {
			shapes[name] = t.info(name)
		}
	}
	for _, stated := range [][]*ValueInfo{p.Graph.ValueInfo, p.Graph.Output} {
		for _, v := range stated {
			if declared(v).ranked {
				shapes[v.Name] = v
			}
		}
	}
	return shapes
}
