package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"segsync/importer/journal"
)

// askContinue asks whether to continue the unfinished import of the directory.
func (s *session) askContinue(old *journal.State) bool {
	question := fmt.Sprintf("The import in this directory is not finished: %d profiles read, %d customers not confirmed.\nContinue it? Type \"yes\" or \"no\" (start anew): ",
		old.Counts.Read, old.Unconfirmed())
	return s.tell.ask(question, nil)
}

// askResume asks whether to go on from the offset.
func (s *session) askResume(offset string, interrupts *interrupts) bool {
	return s.tell.ask(fmt.Sprintf("Do you wish to resume the process from the offset: %s? Type \"yes\" or \"no\": ", offset), interrupts.first)
}

// ask asks until the answer is yes or no. The end of the input, and an interrupt, are no.
func (t *telling) ask(question string, interrupted <-chan struct{}) bool {
	if t.lines == nil {
		t.lines = readLines(os.Stdin)
	}
	t.screen.Suspend()
	defer t.screen.Resume()
	for {
		fmt.Fprint(t.stderr, t.stderr.fold(question, 0))
		select {
		case line, more := <-t.lines:
			if !strings.HasSuffix(line, "\n") {
				fmt.Fprintln(t.stderr)
			}
			switch strings.ToLower(strings.TrimSpace(line)) {
			case "yes", "y":
				return true
			case "no", "n":
				return false
			}
			if !more {
				return false
			}
		case <-interrupted:
			fmt.Fprintln(t.stderr)
			return false
		}
	}
}

// readLines sends the lines of the input, to its end. Its goroutine ends with the process
// at the latest: a read of a terminal cannot be called off.
func readLines(from io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewReader(from)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}
