package importer

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"segsync/importer/mapping"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Files names the files of an import in its directory.
type Files struct {
	Dir               string
	State             string
	WithoutIdentifier string // segment ids, one per line
	NotImported       string // CSV, see notImportedHeader
	pending           string
	seen, sources     string // hashes of the profiles, and of the source ids sent
	// What is in seen and sources, to look it up; only while an import runs.
	seenTable, sourcesTable string
}

// PendingFile is the key in State.Lengths of the file that names the customers of the
// actions which are not confirmed yet.
const PendingFile = "pending"

// NewFiles returns the names in dir. suffix is put before the ending of each.
func NewFiles(dir, suffix string) Files {
	return Files{
		Dir:               dir,
		State:             "segsync-state" + suffix + ".json",
		WithoutIdentifier: "profiles-without-identifier" + suffix + ".txt",
		NotImported:       "not-imported" + suffix + ".csv",
		pending:           "segsync-pending" + suffix + ".csv",
		seen:              "segsync-seen" + suffix + ".bin",
		seenTable:         "segsync-seen" + suffix + ".tmp",
		sources:           "segsync-sources" + suffix + ".bin",
		sourcesTable:      "segsync-sources" + suffix + ".tmp",
	}
}

// Path returns the path of one of the names.
func (f Files) Path(name string) string { return filepath.Join(f.Dir, name) }

// Paths returns the paths of all files.
func (f Files) Paths() []string {
	var paths []string
	for _, name := range []string{f.State, f.WithoutIdentifier, f.NotImported, f.pending, f.seen, f.sources, f.seenTable, f.sourcesTable} {
		paths = append(paths, f.Path(name))
	}
	return paths
}

// notImported is a line of Files.NotImported.
type notImported struct {
	segmentID, sourceID string
	why                 refusal
	actionID, requestID string
}

const notImportedHeader = "segment_id,source_id,reason,detail,async_action_id,request_id\n"

// sentCustomer is a line of the pending file.
type sentCustomer struct{ segmentID, sourceID string }

// reports are the files that grow with the import: those for people, the customers not
// yet confirmed, and the hashes of all profiles read and source ids sent. What is noted is
// written by flush.
type reports struct {
	withoutIdentifier, notImported, pending, seen, sources *appendFile

	ids, refused, customers, hashes, sourceHashes bytes.Buffer // noted, not written

	customersCSV *csv.Writer // to customers; a new one for each would cost 4 KB
}

func openReports(files Files) (*reports, error) {
	r := new(reports)
	r.customersCSV = csv.NewWriter(&r.customers)
	for _, f := range []struct {
		name string
		file **appendFile
	}{
		{files.WithoutIdentifier, &r.withoutIdentifier}, {files.NotImported, &r.notImported},
		{files.pending, &r.pending}, {files.seen, &r.seen}, {files.sources, &r.sources},
	} {
		file, err := openAppend(files.Dir, f.name)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		*f.file = file
	}
	return r, nil
}

func (r *reports) all() map[string]*appendFile {
	all := map[string]*appendFile{
		"without_identifier": r.withoutIdentifier, "not_imported": r.notImported, PendingFile: r.pending, "seen": r.seen, "sources": r.sources,
	}
	for name, file := range all {
		if file == nil {
			delete(all, name)
		}
	}
	return all
}

func (r *reports) close() error {
	var errs []error
	for _, file := range r.all() {
		errs = append(errs, file.close())
	}
	return errors.Join(errs...)
}

// backup copies the files to names with .bak behind them.
func (r *reports) backup() error {
	for _, file := range r.all() {
		if err := file.copyTo(file.file.Name() + ".bak"); err != nil {
			return err
		}
	}
	return nil
}

// cut takes the files back to the lengths of a state, unless one of them is too short.
func (r *reports) cut(lengths map[string]int64) error {
	for name, file := range r.all() {
		if err := file.holds(lengths[name]); err != nil {
			return err
		}
	}
	for name, file := range r.all() {
		if err := file.cut(lengths[name]); err != nil {
			return err
		}
	}
	return nil
}

// noteHash notes the hash of a profile that was read, or of a source_id that was sent.
func noteHash(hashes *bytes.Buffer, hash uint64) {
	hashes.Write(binary.LittleEndian.AppendUint64(nil, hash))
}

func (r *reports) noteWithoutIdentifier(segmentID string) { r.ids.WriteString(segmentID + "\n") }

// noteHeader begins a new file of profiles that were not imported.
func (r *reports) noteHeader() {
	if r.notImported.size == 0 {
		r.refused.WriteString(notImportedHeader)
	}
}

func (r *reports) noteNotImported(n notImported) {
	writeRow(&r.refused, n.segmentID, mapping.Escape(n.sourceID), mapping.Escape(n.why.reason), mapping.Escape(n.why.detail), n.actionID, mapping.Escape(n.requestID))
}

// noteSent notes a customer of the action, and where.
func (r *reports) noteSent(a *Action, c sentCustomer) {
	end := func() int64 { return r.pending.size + int64(r.customers.Len()) }
	if a.Customers == 0 {
		a.FirstByte = end()
	}
	r.customersCSV.Write([]string{c.segmentID, c.sourceID})
	r.customersCSV.Flush()
	a.Customers++
	a.LastByte = end()
}

// sentBy returns the customers of the action.
func (r *reports) sentBy(a Action) ([]sentCustomer, error) {
	data, err := r.pending.read(a.FirstByte, a.LastByte)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err == nil && len(rows) != a.Customers {
		err = fmt.Errorf("it names %d of the %d customers of the async action %s", len(rows), a.Customers, a.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.pending.file.Name(), err)
	}
	customers := make([]sentCustomer, len(rows))
	for i, row := range rows {
		customers[i] = sentCustomer{row[0], row[1]}
	}
	return customers, nil
}

// flush brings what was noted to the disk, and returns the lengths of the files.
func (r *reports) flush() (map[string]int64, error) {
	lengths := make(map[string]int64)
	buffers := map[*appendFile]*bytes.Buffer{
		r.withoutIdentifier: &r.ids, r.notImported: &r.refused, r.pending: &r.customers, r.seen: &r.hashes,
		r.sources: &r.sourceHashes,
	}
	var syncs errgroup.Group // together, for the disk does them in one go
	for name, file := range r.all() {
		if err := file.write(buffers[file].Bytes()); err != nil {
			return nil, errors.Join(err, syncs.Wait())
		}
		buffers[file].Reset()
		lengths[name] = file.size
		syncs.Go(file.flush)
	}
	return lengths, syncs.Wait()
}

// writeRow writes a line of CSV that a spreadsheet can open: no cell is a formula.
func writeRow(buf *bytes.Buffer, cells ...string) {
	for i, cell := range cells {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	w := csv.NewWriter(buf)
	w.Write(cells) // a bytes.Buffer takes everything
	w.Flush()
}

// prepareDir makes the directory if there is none.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory for the files of the import: %w", err)
	}
	return nil
}
