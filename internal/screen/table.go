package screen

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
)

// noteMin is how many columns a note needs beside its number; with less it goes below.
const noteMin = 24

// Row is a row of the final table.
type Row struct {
	Name   string
	Number int64
	Note   string // "in not-imported.csv"; may be empty
	Mark   string // MarkOK, MarkAttention, MarkFailed or empty
	Always bool   // show it even if its number is zero
}

// Table writes a table of numbers below lines that name what they are about. No line is
// wider than width columns; 0 means any width, as for a file.
func Table(w io.Writer, width int, style Style, head Head, rows []Row) error {
	var lines []string
	if head != (Head{}) {
		lines = append(lines, tableHead(head, style, width)...)
	}
	var shown []Row
	nameWidth, numberWidth := 0, 0
	for _, row := range rows {
		if row.Number == 0 && !row.Always {
			continue
		}
		shown = append(shown, row)
		nameWidth = max(nameWidth, cellWidth(row.Name))
		numberWidth = max(numberWidth, len(Number(row.Number)))
	}
	if width > 0 {
		nameWidth = min(nameWidth, max(width-numberWidth-4, 1))
	}
	for _, row := range shown {
		lines = append(lines, tableRow(row, style, width, nameWidth, numberWidth)...)
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

func tableHead(head Head, style Style, width int) []string {
	times := "started " + head.Began.Format("2 Jan 2006 15:04")
	if !head.Ended.IsZero() {
		times += ", ended " + clock(head.Ended, head.Began) + ", " + Duration(head.Ended.Sub(head.Began).Round(time.Second))
	}
	var lines []string
	for _, line := range words(head.names(), width) {
		lines = append(lines, style.Bold(line))
	}
	for _, line := range words(times, width) {
		lines = append(lines, style.Dim(line))
	}
	return lines
}

func tableRow(row Row, style Style, width, nameWidth, numberWidth int) []string {
	name := cut(row.Name, nameWidth)
	mark := " "
	if row.Mark != "" {
		mark = markStyle(row.Mark, style)(row.Mark)
	}
	line := fmt.Sprintf("%s %s%s  %*s", mark, name, strings.Repeat(" ", nameWidth-cellWidth(name)), numberWidth, Number(row.Number))
	if row.Note == "" {
		return []string{line}
	}
	indent := 2 + nameWidth + 2 + numberWidth + 2
	if width == 0 {
		return []string{line + "  " + row.Note}
	}
	if width-indent < noteMin { // below the number
		lines := []string{line}
		for _, note := range words(row.Note, width-4) {
			lines = append(lines, "    "+note)
		}
		return lines
	}
	notes := words(row.Note, width-indent)
	lines := []string{line + "  " + notes[0]}
	for _, note := range notes[1:] {
		lines = append(lines, strings.Repeat(" ", indent)+note)
	}
	return lines
}

func markStyle(mark string, style Style) func(string) string {
	switch mark {
	case MarkOK:
		return style.Green
	case MarkFailed:
		return style.Red
	default:
		return style.Yellow
	}
}

// words breaks text into lines of at most width columns between its words, and in the
// middle of a word that is wider than that: a path is never shortened. 0 is any width.
func words(text string, width int) []string {
	if width == 0 || cellWidth(text) <= width {
		return []string{text}
	}
	width = max(width, 1)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for line == "" && cellWidth(word) > width || line != "" && cellWidth(line)+1+cellWidth(word) > width {
			if line != "" {
				lines = append(lines, line)
				line = ""
				continue
			}
			head := cmp.Or(takeWidth(word, width), word) // a wide character in one column
			lines = append(lines, head)
			word = word[len(head):]
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
