package saver

// Save has the state saved at once, unless that was done for this request already.
func (s *Saver) Save(request string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.asked != request {
		s.asked = request
		s.hurry()
	}
}

// hurry has the next save begin now, or when the one that goes on has ended.
func (s *Saver) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
