package jpeg

func fastest() kernels { return generic }
