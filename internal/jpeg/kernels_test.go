package jpeg

func sets() map[string]kernels {
	return map[string]kernels{"generic": generic, "fastest": fastest()}
}
