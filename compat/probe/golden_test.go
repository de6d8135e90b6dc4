package probe

func record() error { return nil }

func golden(w *world, name string, p any) {}
