package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"segsync/importer/journal"
)

// askContinue asks whether to continue the unfinished import of the directory. Without an
// answer nothing is begun.
func (s *session) askContinue(old *journal.State) (bool, error) {
	question := fmt.Sprintf("The import in this directory is not finished: %d profiles read, %d customers not confirmed.\nContinue it? Type \"yes\" or \"no\" (start anew): ",
		old.Counts.Read, old.Unconfirmed())
	yes, answered := s.tell.ask(question, nil)
	if !answered {
		return false, &exitError{exitInterrupted, &hinted{errors.New("no answer: nothing was begun"),
			"segsync import --resume continues the import, --restart starts anew"}}
	}
	return yes, nil
}

// askResume asks whether to go on from the offset.
func (s *session) askResume(offset string, interrupts *interrupts) bool {
	yes, _ := s.tell.ask(fmt.Sprintf("Do you wish to resume the process from the offset: %s? Type \"yes\" or \"no\": ", offset), interrupts.first)
	return yes
}

// ask asks until the answer is yes or no. At the end of the input, and after an interrupt,
// there is none.
func (t *telling) ask(question string, interrupted <-chan struct{}) (yes, answered bool) {
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
				return true, true
			case "no", "n":
				return false, true
			}
			if !more {
				return false, false
			}
		case <-interrupted:
			fmt.Fprintln(t.stderr)
			return false, false
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
