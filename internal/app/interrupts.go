package app

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"segsync/internal/term"
)

// drainTimeout is how long an import may finish what it is reading and sending after the first
// interrupt.
const drainTimeout = 10 * time.Second

// errInterrupted is the cause of the end of a context that an interrupt ended.
var errInterrupted = errors.New("interrupted")

// interrupts turns the first SIGINT, SIGTERM or, of a terminal that is closed, SIGHUP into the end
// of stop, and the second, or the end of drainTimeout, into the end of ctx.
type interrupts struct {
	ctx, stop context.Context

	code    atomic.Int32
	signals chan os.Signal
	cancel  context.CancelCauseFunc
	done    chan struct{}
}

// watchInterrupts watches for signals until close is called. The first one is answered with the
// announcement, and calls onFirst.
func watchInterrupts(ctx context.Context, out *term.Output, announcement string, onFirst func()) *interrupts {
	i := &interrupts{signals: make(chan os.Signal, 2), done: make(chan struct{})}
	i.ctx, i.cancel = context.WithCancelCause(ctx)
	stop, endStop := context.WithCancel(i.ctx)
	i.stop = stop
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signal.Notify(i.signals, syscall.SIGHUP)
	}
	go func() {
		defer close(i.done)
		defer endStop()
		var drain *time.Timer
		for sig := range i.signals {
			if i.exitCode() != ExitDone {
				i.cancel(errInterrupted)
				continue
			}
			if out.IsTerminal() {
				out.Err.Linef("%s", announcement)
			} else {
				out.Log.Warn(announcement)
			}
			i.code.Store(ExitInterrupted)
			if sig != os.Interrupt {
				i.code.Store(ExitTerminated)
			}
			endStop()
			drain = time.AfterFunc(drainTimeout, func() { i.cancel(errInterrupted) })
			onFirst()
		}
		if drain != nil {
			drain.Stop()
		}
	}()
	return i
}

// exitCode returns the code of the first signal, or ExitDone if there was none.
func (i *interrupts) exitCode() int { return int(i.code.Load()) }

func (i *interrupts) close() {
	if i.exitCode() != ExitDone { // a late second signal must not take the place of the exit code
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	}
	signal.Stop(i.signals)
	close(i.signals)
	<-i.done
	i.cancel(nil)
}
