package screen

import (
	"fmt"
	"io"
	"strings"
	"time"
)

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
	for _, line := range foldLine(head.Names(), 0, width) {
		lines = append(lines, style.Bold(line))
	}
	for _, line := range foldLine(times, 0, width) {
		lines = append(lines, style.Dim(line))
	}
	return lines
}

func tableRow(row Row, style Style, width, nameWidth, numberWidth int) []string {
	name := cut(row.Name, nameWidth)
	mark := " "
	if row.Mark != "" {
		mark = style.Mark(row.Mark)
	}
	line := fmt.Sprintf("%s %s%s  %*s", mark, name, strings.Repeat(" ", nameWidth-cellWidth(name)), numberWidth, Number(row.Number))
	if row.Note == "" {
		return []string{line}
	}
	indent := 2 + nameWidth + 2 + numberWidth + 2
	if width == 0 {
		return []string{line + "  " + row.Note}
	}
	if width-indent < max(noteMin, min(widestWord(row.Note), width-narrowIndent)) { // below the number
		lines := []string{line}
		for _, note := range foldLine(row.Note, 0, width-narrowIndent) {
			lines = append(lines, strings.Repeat(" ", narrowIndent)+note)
		}
		return lines
	}
	notes := foldLine(row.Note, 0, width-indent)
	lines := []string{line + "  " + notes[0]}
	for _, note := range notes[1:] {
		lines = append(lines, strings.Repeat(" ", indent)+note)
	}
	return lines
}
