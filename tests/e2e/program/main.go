// A program of a container type: does what its input says, as tests/support/program.py does on a laptop.
//
// With an argument it does nothing. Its input is {"do": [[verb, ...], ...]}. What `look`, `environment` and `call` find is a list in result.json once
// `report` is done.
package main

import (
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

const (
	most        = 100_000
	mostGrown   = 100_000_000
	callTimeout = 3 * time.Second
)

var (
	directory = os.Getenv("TASKPOST_DIRECTORY")
	found     = []string{}
	kept      [][]byte
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func path(name any) string { return filepath.Join(directory, name.(string)) }

func number(words []any, index int, otherwise float64) float64 {
	if index < len(words) {
		return words[index].(float64)
	}
	return otherwise
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

func write(words []any) {
	file, err := os.Create(path(words[0]))
	must(err)
	text := strings.Repeat(words[1].(string), int(number(words, 2, 1)))
	_, err = file.WriteString(text)
	must(err)
	must(file.Close())
}

func writeHex(words []any) {
	data, err := hex.DecodeString(words[1].(string))
	must(err)
	must(os.WriteFile(path(words[0]), data, 0o644))
}

func duplicate(words []any) {
	data, err := os.ReadFile(path(words[0]))
	must(err)
	must(os.WriteFile(path(words[1]), data, 0o644))
}

func grow(words []any) {
	file, err := os.Create(path(words[0]))
	must(err)
	_, err = file.WriteString(words[1].(string))
	must(err)
	chunk := []byte(strings.Repeat(" x", 10_000))
	until := time.Now().Add(seconds(number(words, 2, 0)))
	for size := 0; time.Now().Before(until) && size < mostGrown; size += len(chunk) {
		_, err = file.Write(chunk)
		must(err)
	}
}

// allocate takes so many MiB of memory, and uses them.
func allocate(words []any) {
	for range make([]struct{}, int(number(words, 0, 0))) {
		block := make([]byte, 1<<20)
		for index := 0; index < len(block); index += 4096 {
			block[index] = 1
		}
		kept = append(kept, block)
	}
}

func look(words []any) {
	names, err := filepath.Glob(words[0].(string))
	must(err)
	sort.Strings(names)
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil {
			found = append(found, fmt.Sprintf("%s: %s", name, data[:min(len(data), most)]))
		}
	}
}

func call(words []any, connect func(address string) (net.Conn, error)) {
	address := net.JoinHostPort(words[0].(string), fmt.Sprint(int(words[1].(float64))))
	connection, err := connect(address)
	if err != nil {
		return
	}
	defer connection.Close()
	must(connection.SetDeadline(time.Now().Add(callTimeout)))
	_, err = connection.Write([]byte(words[2].(string)))
	must(err)
	answer := make([]byte, most)
	size, _ := connection.Read(answer)
	found = append(found, fmt.Sprintf("%s: %s", address, answer[:size]))
}

func min(one, other int) int {
	if one < other {
		return one
	}
	return other
}

func do(verb string, words []any) {
	dialer := &net.Dialer{Timeout: callTimeout}
	switch verb {
	case "write":
		write(words)
	case "write_hex":
		writeHex(words)
	case "copy":
		duplicate(words)
	case "link":
		must(os.Symlink(words[1].(string), path(words[0])))
	case "fifo":
		must(syscall.Mkfifo(path(words[0]), 0o644))
	case "mkdir":
		must(os.Mkdir(path(words[0]), 0o755))
	case "grow":
		grow(words)
	case "allocate":
		allocate(words)
	case "say":
		fmt.Fprint(os.Stderr, words[0])
	case "terminate":
		must(os.WriteFile("/dev/termination-log", []byte(words[0].(string)), 0o644))
	case "sleep":
		time.Sleep(seconds(number(words, 0, 0)))
	case "ignore_sigterm":
		signal.Ignore(syscall.SIGTERM)
	case "exit":
		os.Exit(int(number(words, 0, 0)))
	case "look":
		look(words)
	case "environment":
		names := os.Environ()
		sort.Strings(names)
		found = append(found, names...)
	case "user":
		found = append(found, fmt.Sprint(os.Getuid()))
	case "call":
		call(words, func(address string) (net.Conn, error) { return dialer.Dial("tcp", address) })
	case "call_tls":
		call(words, func(address string) (net.Conn, error) {
			return tls.DialWithDialer(dialer, "tcp", address, &tls.Config{InsecureSkipVerify: true})
		})
	case "report":
		data, err := json.Marshal(found)
		must(err)
		must(os.WriteFile(path("result.json"), data, 0o644))
	default:
		must(fmt.Errorf("no such verb: %s", verb))
	}
}

func main() {
	if len(os.Args) > 1 {
		return
	}
	data, err := os.ReadFile(path("input.json"))
	must(err)
	var input struct{ Do [][]any }
	must(json.Unmarshal(data, &input))
	// A program that says nothing about signals is ended by SIGTERM, be it a container's first.
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		os.Exit(128 + int(syscall.SIGTERM))
	}()
	for _, step := range input.Do {
		do(step[0].(string), step[1:])
	}
}
