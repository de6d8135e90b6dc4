package server

func (s *Server) registerGauges() {}
