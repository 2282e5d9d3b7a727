package meter

import "sync"

// Other is the name of all models beyond the first MaxModels.
const Other = "other"

// MaxModels is how many models are told apart. An agent chooses the names it asks for, and some servers echo them.
const MaxModels = 16

// Models bounds the names of models. It may be used by many at once; the zero value is ready.
type Models struct {
	mu    sync.Mutex
	known map[string]bool
	// billed is the name under which a model was billed that was asked for under another.
	billed map[string]string
}

// Billed returns the name to count under what a server billed, and remembers it for Known. The answered name is empty where
// the answer does not say it.
func (m *Models) Billed(asked, answered string) string {
	if answered == "" {
		answered = asked
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	if answered == "" || answered == Other || len(answered) > longestModel || !m.known[answered] && len(m.known) >= MaxModels {
		return Other
	}

	if m.known == nil {
		m.known, m.billed = map[string]bool{}, map[string]string{}
	}

	m.known[answered] = true

	if asked != answered && len(m.billed) < 4*MaxModels {
		m.billed[asked] = answered
	}

	return answered
}

// Known returns the name to count under what was asked for and not billed, which must not add a name.
func (m *Models) Known(asked string) string {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.known[asked] {
		return asked
	}

	if name := m.billed[asked]; name != "" {
		return name
	}

	return Other
}

// Asked returns the name that was asked for, where something was billed under it or for it; else Other.
func (m *Models) Asked(asked string) string {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.known[asked] || m.billed[asked] != "" {
		return asked
	}

	return Other
}
