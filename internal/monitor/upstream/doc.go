// Package upstream asks one model server by HTTP/1.1 without goroutines of its own. It must not know what is asked or counted.
package upstream
