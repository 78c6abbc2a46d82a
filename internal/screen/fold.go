package screen

import (
	"cmp"
	"io"
	"strings"
)

// noteMin is how many columns the second cell of a line needs beside the first; with less
// it goes below.
const noteMin = 24

// narrowIndent is the indent of what goes below.
const narrowIndent = 4

// listGap is the space between the columns of a list.
const listGap = 2

// Fold breaks a text into lines of at most width columns, between its words. The lines after
// the first of each paragraph begin with so many spaces, or with fewer on a narrow terminal.
// A word that is wider than a line is broken, but for a command, which is one word: it can
// always be copied. 0 is any width.
func Fold(text string, indent, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		lines = append(lines, foldLine(paragraph, indent, width)...)
	}
	return lines
}

func foldLine(line string, indent, width int) []string {
	if width == 0 || cellWidth(line) <= width {
		return []string{line}
	}
	if width-indent < noteMin {
		indent = min(indent, narrowIndent, width/2)
	}
	text := strings.TrimLeft(line, " ")
	now, rest := line[:min(len(line)-len(text), width/2)], strings.Repeat(" ", indent)
	var lines []string
	begun := false // now has more than its indent
	for _, w := range wordsOf(text) {
		if begun && cellWidth(now)+len(w.gap)+cellWidth(w.text) > width {
			lines, now, begun = append(lines, now), rest, false
		}
		if begun {
			now += w.gap
		}
		for w.text != "" && !w.command && cellWidth(now)+cellWidth(w.text) > width {
			head := cmp.Or(takeWidth(w.text, width-cellWidth(now)), w.text) // a wide character in one column
			lines, now, w.text = append(lines, now+head), rest, w.text[len(head):]
		}
		now += w.text
		begun = w.text != ""
	}
	if begun {
		lines = append(lines, now)
	}
	return lines
}

// widestWord returns how many columns the widest word of a text takes.
func widestWord(text string) int {
	widest := 0
	for _, w := range wordsOf(text) {
		widest = max(widest, cellWidth(w.text))
	}
	return widest
}

// word is what is not broken between lines, and the space before it.
type word struct {
	gap, text string
	command   bool
}

// wordsOf splits a text into words. A command of this program is one: its name, what stands
// behind it, and flags behind that, but not their values, which cannot be told from text.
func wordsOf(text string) []word {
	var words []word
	gap := ""
	for w := range strings.SplitSeq(text, " ") {
		n := len(words) - 1
		switch {
		case w == "":
			gap += " "
			continue
		case n >= 0 && words[n].command && gap == " " && (words[n].text == "segsync" || w[0] == '-'):
			words[n].text += gap + w
		default:
			words = append(words, word{gap, w, w == "segsync"})
		}
		gap = " "
	}
	return words
}

// List writes rows of cells in columns, below a head, all with an indent. No line is wider
// than width columns; 0 is any width. The last cells are folded, or, where that leaves them
// too little, each row is its first cell with the others below it.
func List(w io.Writer, width, indent int, head []string, rows [][]string) error {
	rows = append([][]string{head}, rows...)
	end := len(head) - 1
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cellWidth(cell))
		}
	}
	last := indent // the column of the last cell
	for _, n := range widths[:end] {
		last += n + listGap
	}
	var lines []string
	if width > 0 && width-last < min(widths[end], noteMin) {
		for _, row := range rows {
			lines = append(lines, stacked(row, indent, width)...)
		}
	} else {
		for _, row := range rows {
			line := strings.Repeat(" ", indent)
			for i, cell := range row[:end] {
				line += cell + strings.Repeat(" ", widths[i]-cellWidth(cell)+listGap)
			}
			lines = append(lines, foldLine(strings.TrimRight(line+row[end], " "), last, width)...)
		}
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// stacked returns a row with its first cell above the others.
func stacked(row []string, indent, width int) []string {
	lines := foldLine(strings.Repeat(" ", indent)+row[0], narrowIndent, width)
	below := ""
	for _, cell := range row[1:] {
		if cell = strings.TrimSpace(cell); cell != "" {
			below += strings.Repeat(" ", listGap) + cell
		}
	}
	if below == "" {
		return lines
	}
	return append(lines, foldLine(strings.Repeat(" ", narrowIndent-listGap)+below, narrowIndent, width)...)
}
