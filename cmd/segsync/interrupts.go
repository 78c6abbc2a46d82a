package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// interrupts turns the first SIGINT, SIGTERM or, of a terminal that is closed, SIGHUP into
// a gentle stop, which it announces, and the second into the end of ctx.
type interrupts struct {
	ctx   context.Context
	first chan struct{} // closed by the first signal

	code    atomic.Int32
	signals chan os.Signal
	cancel  context.CancelFunc
	done    chan struct{}
}

func watchInterrupts(ctx context.Context, announcement string, stop func(), tell *telling) *interrupts {
	i := &interrupts{first: make(chan struct{}), signals: make(chan os.Signal, 2), done: make(chan struct{})}
	i.ctx, i.cancel = context.WithCancel(ctx)
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signal.Notify(i.signals, syscall.SIGHUP)
	}
	go func() {
		defer close(i.done)
		for sig := range i.signals {
			if i.exitCode() != exitDone {
				i.cancel()
				continue
			}
			tell.answer(announcement)
			i.code.Store(exitInterrupted)
			if sig != os.Interrupt {
				i.code.Store(exitTerminated)
			}
			close(i.first)
			stop()
		}
	}()
	return i
}

// exitCode returns the code of the first signal, or exitDone if there was none.
func (i *interrupts) exitCode() int { return int(i.code.Load()) }

func (i *interrupts) close() {
	if i.exitCode() != exitDone { // a late second signal must not take the place of the exit code
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	}
	signal.Stop(i.signals)
	close(i.signals)
	<-i.done
	i.cancel()
}
