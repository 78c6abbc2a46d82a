package profilessync

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Problem says what to do about an Error.
type Problem int

// The problems with a warehouse.
const (
	InvalidURL       Problem = iota + 1 // the URL cannot be parsed, or is for another warehouse
	Unreachable                         // no connection to the host, or the server is starting or full
	TLSFailed                           // the server has no TLS, or a certificate that is not trusted
	WrongPassword                       // or wrong user
	LoginRefused                        // to this user, from this address, or without TLS; Redshift: or a wrong password
	UnknownDatabase                     // the server has none of this name
	UnknownSchema                       // the database has none of this name
	MissingTable                        // the schema has no user_traits or no user_identifiers
	MissingColumn                       // a table lacks a column that is needed
	NoTimes                             // a table lacks uuid_ts, which Query.Since needs
	PermissionDenied                    // to read a table, or to use the schema or the database
	ConnectionLost                      // in the middle; reading can continue behind the last profile
	Refused                             // any other answer of the server
)

// Error is an error of a warehouse. Its text has neither the URL nor the password.
type Error struct {
	Problem Problem
	Code    string // the server's code, in Postgres the SQLSTATE; "" if the error is not the server's
	Vendor  string // snowflake, bigquery, databricks; "" for Postgres and Redshift
	text    string
	cause   error
}

func (e *Error) Error() string { return e.text }

// Refused reports whether something must be set right first: it is no use to try again.
func (e *Error) Refused() bool {
	return e.Problem != Unreachable && e.Problem != ConnectionLost && e.Problem != Refused
}

// Unwrap returns the cause, such as context.Canceled; nil if it could reveal the URL.
func (e *Error) Unwrap() error { return e.cause }

// connectError describes an error of pgconn.Connect. That one has the whole configuration,
// the password too, so it is not wrapped.
func connectError(config *pgconn.Config, err error) error {
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case answered:
	case isTLS(err):
		return &Error{Problem: TLSFailed, text: fmt.Sprintf("the warehouse %s: no connection with TLS: %s", host, reason(err))}
	default:
		return &Error{Problem: Unreachable, text: fmt.Sprintf("the warehouse %s cannot be reached: %s", host, reason(err))}
	}
	e := &Error{Problem: Refused, Code: pgErr.Code, text: fmt.Sprintf("the warehouse %s refuses the connection: %s", host, message(pgErr))}
	switch pgErr.Code {
	case "28000":
		e.Problem, e.text = LoginRefused, fmt.Sprintf("the warehouse %s does not let the user %q log in: %s", host, config.User, message(pgErr))
	case "28P01":
		e.Problem, e.text = WrongPassword, fmt.Sprintf("the warehouse %s does not accept the user %q with this password: %s", host, config.User, message(pgErr))
	case "3D000":
		e.Problem, e.text = UnknownDatabase, fmt.Sprintf("the warehouse %s has no database %q", host, config.Database)
	case "42501":
		e.Problem, e.text = PermissionDenied, fmt.Sprintf("the user %q may not connect to the database %q: %s", config.User, config.Database, message(pgErr))
	case "53300", "57P03": // too many connections; starting up, or shutting down
		e.Problem, e.text = Unreachable, fmt.Sprintf("the warehouse %s accepts no connection now: %s", host, message(pgErr))
	}
	return e
}

func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &header) || errors.As(err, &alert) || strings.Contains(err.Error(), "server refused TLS")
}

// reason returns the innermost errors of a failed connection.
func reason(err error) string {
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &dial):
		return dial.Err.Error()
	case pgconn.Timeout(err):
		return "no answer in time"
	case strings.Contains(err.Error(), "server refused TLS"):
		return "the server has none"
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

// endedError returns the error of something that was ended from outside; nil if it was not.
func endedError(doing string, err error) error {
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return fmt.Errorf("%s: %w", doing, ended)
		}
	}
	return nil
}

// statementError describes what went wrong while doing something on an open connection.
func statementError(doing string, err error) error {
	if ended := endedError(doing, err); ended != nil {
		return ended
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return &Error{Problem: ConnectionLost, text: doing + ": the connection was lost: " + reason(err), cause: err}
	}
	e := &Error{Problem: Refused, Code: pgErr.Code, cause: pgErr, text: doing + ": " + message(pgErr)}
	switch code := pgErr.Code; {
	case code == "42501":
		e.Problem = PermissionDenied
	case code == "42703":
		e.Problem = MissingColumn
	case code == "42P01":
		e.Problem = MissingTable
	case code == "3F000":
		e.Problem = UnknownSchema
	// The server stops, or ends a statement that is in its way: a standby does so.
	case strings.HasPrefix(code, "57"), strings.HasPrefix(code, "08"), code == "40001":
		e.Problem = ConnectionLost
		e.text = doing + ": the warehouse ended the connection: " + message(pgErr)
	}
	return e
}

func message(err *pgconn.PgError) string { return strconv.Quote(err.Message) + " (" + err.Code + ")" }

// problemOf returns the problem of an *Error; 0 for another error.
func problemOf(err error) Problem {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return 0
}
