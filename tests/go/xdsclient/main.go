// A client that is neither Suho's nor Python: grpc-go, and nothing generated. It knows the mesh only through gRPC's xDS
// bootstrap. Commands on standard input, a JSON line for each answer; tests/support/plain_caller.py speaks the same.
//
//	call PATH [NAME=VALUE …]  one call with headers; answers {"ok", "reply" or "code" and "details", "ms"}
//	to TARGET PATH            the same through a channel of its own
//	load PATH N               N loops call until `stop`, which answers {"calls", "by", "errors"}
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds"
)

const (
	callTimeout = 20 * time.Second
	loopPause   = 2 * time.Millisecond
)

// raw hands bytes over as they are: the backends of the tests speak bytes.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type outcome struct {
	OK      bool    `json:"ok"`
	Reply   string  `json:"reply,omitempty"`
	Code    string  `json:"code,omitempty"`
	Details string  `json:"details,omitempty"`
	Ms      float64 `json:"ms"`
}

func call(channel *grpc.ClientConn, path string, headers []string) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, header := range headers {
		name, value, _ := strings.Cut(header, "=")
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	start := time.Now()
	var request, reply []byte
	err := channel.Invoke(ctx, path, &request, &reply, grpc.ForceCodec(raw{}))
	took := float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		failure := status.Convert(err)
		return outcome{Code: constantName(failure.Code().String()), Details: failure.Message(), Ms: took}
	}
	return outcome{OK: true, Reply: string(reply), Ms: took}
}

// constantName turns "DeadlineExceeded" into "DEADLINE_EXCEEDED", as other languages name it.
func constantName(code string) string {
	var name strings.Builder
	for at, letter := range code {
		if at > 0 && letter >= 'A' && letter <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}

// load calls in loops until it is stopped.
type load struct {
	stop    chan struct{}
	running sync.WaitGroup
	guard   sync.Mutex
	calls   int
	by      map[string]int
	errors  []outcome
}

func startLoad(channel *grpc.ClientConn, path string, loops int) *load {
	started := &load{stop: make(chan struct{}), by: map[string]int{}, errors: []outcome{}}
	for range loops {
		started.running.Go(func() {
			for {
				select {
				case <-started.stop:
					return
				case <-time.After(loopPause):
					started.count(call(channel, path, nil))
				}
			}
		})
	}
	return started
}

func (l *load) count(one outcome) {
	l.guard.Lock()
	defer l.guard.Unlock()
	l.calls++
	l.by[one.Reply]++
	if !one.OK {
		l.errors = append(l.errors, one)
	}
}

func (l *load) result() any {
	close(l.stop)
	l.running.Wait()
	return map[string]any{"calls": l.calls, "by": l.by, "errors": l.errors}
}

func open(target string) *grpc.ClientConn {
	channel, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return channel
}

func main() {
	channel := open("xds:///mesh")
	var running *load
	answers := json.NewEncoder(os.Stdout)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		words := strings.Fields(commands.Text())
		var answer any
		switch words[0] {
		case "call":
			answer = call(channel, words[1], words[2:])
		case "to":
			other := open(words[1])
			answer = call(other, words[2], nil)
			other.Close()
		case "load":
			loops, err := strconv.Atoi(words[2])
			if err != nil {
				log.Fatal(err)
			}
			running = startLoad(channel, words[1], loops)
			answer = map[string]any{}
		case "stop":
			answer = running.result()
		default:
			log.Fatal(fmt.Sprintf("unknown command %q", words[0]))
		}
		if err := answers.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}
