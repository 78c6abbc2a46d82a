package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"segsync/internal/safetext"
)

// Printer writes lines for people to stdout or stderr. Errors of writing to stdout are its
// writer's to remember.
type Printer struct {
	write   func(string)
	clean   func(string) string
	columns func() int // of the terminal; 0: lines have any width
	style   style
}

// Linef writes a line, or several, folded to the terminal.
func (p *Printer) Linef(format string, args ...any) {
	p.write(fold(p.clean(fmt.Sprintf(format, args...)), p.columns()) + "\n")
}

// fold breaks the lines of a text that are wider than so many columns. What follows is indented by two more.
func fold(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		own := len(line) - len(strings.TrimLeft(line, " "))
		lines[i] = strings.Join(Wrap(line, own+2, width), "\n")
	}
	return strings.Join(lines, "\n")
}

// Title writes what the following lines are about.
func (p *Printer) Title(text string) {
	lines := strings.Join(Wrap(p.clean(text), 0, p.columns()), "\n")
	p.write(p.style.color(bold, lines) + "\n")
}

// Marked writes text behind a mark. Its further lines are indented.
func (p *Printer) Marked(mark, text string) {
	text = fold("  "+strings.ReplaceAll(p.clean(text), "\n", "\n  "), p.columns())
	p.write(p.style.mark(mark) + text[1:] + "\n")
}

// Command writes a command to copy: behind what is said of it, or on a line of its own where
// both are too wide. It is never broken.
func (p *Printer) Command(what, command string) {
	gap := " "
	if width := p.columns(); width > 0 && cellWidth(what+gap+command) > width {
		gap = "\n"
	}
	p.write(p.clean(what+gap+command) + "\n")
}

// JSON writes a value as JSON for programs that also people may look at.
func (p *Printer) JSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	p.write(p.clean(string(safetext.JSON(b.Bytes()))))
	return nil
}

// Row is a row of a table.
type Row struct {
	Mark  string // MarkOK, MarkAttention, MarkFailed or empty
	Cells []string
}

// Table writes rows in columns, below a head if there is one. Columns of numbers are aligned at their
// right. Where a row is too wide for the terminal, its last cell has lines of its own; where that is
// not enough, all cells but the first have.
func (p *Printer) Table(head []string, rows []Row) {
	var table []Row
	if head != nil {
		table = append(table, Row{Cells: head})
	}
	for _, row := range rows {
		cells := make([]string, len(row.Cells))
		for i, cell := range row.Cells {
			cells[i] = strings.ReplaceAll(p.clean(cell), "\n", " ")
		}
		table = append(table, Row{row.Mark, cells})
	}
	align(table, head != nil)
	for _, row := range table {
		mark := " "
		if row.Mark != "" {
			mark = p.style.mark(row.Mark)
		}
		p.write(mark + strings.TrimPrefix(layOut(row.Cells, p.columns()), " "))
	}
}

// align pads the cells of each column, those of numbers at their left.
func align(table []Row, hasHead bool) {
	for i, found := 0, true; found; i++ {
		widest, isNumeric := 0, true
		found = false
		for r, row := range table {
			if i < len(row.Cells) {
				found, widest = true, max(widest, cellWidth(row.Cells[i]))
				isNumeric = isNumeric && (r == 0 && hasHead || strings.Trim(row.Cells[i], "0123456789,") == "")
			}
		}
		for _, row := range table {
			if i >= len(row.Cells) {
				continue
			}
			padding := strings.Repeat(" ", widest-cellWidth(row.Cells[i]))
			if isNumeric {
				row.Cells[i] = padding + row.Cells[i]
			} else {
				row.Cells[i] += padding
			}
		}
	}
}

// layOut returns the lines of a row, with room for a mark.
func layOut(cells []string, width int) string {
	const gap = "  "
	line := strings.TrimRight(gap+strings.Join(cells, gap), " ")
	if width == 0 || cellWidth(line) <= width || len(cells) == 1 {
		return line + "\n"
	}
	first, rest := strings.Join(cells[:len(cells)-1], gap), cells[len(cells)-1:]
	if cellWidth(gap+first) > width {
		first, rest = cells[0], cells[1:]
	}
	var below []string
	for _, cell := range rest {
		if cell = strings.TrimSpace(cell); cell != "" {
			below = append(below, cell)
		}
	}
	const indent = "    "
	lines := Wrap(indent+strings.Join(below, gap), len(indent), width)
	return strings.TrimRight(gap+first, " ") + "\n" + strings.Join(lines, "\n") + "\n"
}
