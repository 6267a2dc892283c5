package recording

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// csv reads rows of a time and values. The rows above the first time say which metric is in which column. An error begins with the line.
func (c *CloudWatch) csv(text []byte) error {
	rows := csv.NewReader(bytes.NewReader(text))
	rows.FieldsPerRecord, rows.TrimLeadingSpace = -1, true
	columns := map[int]metric{}
	var labels []string
	begun := false
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf(" neither JSON of the AWS CLI nor CSV: %w", err) // it names the line
		}
		line, _ := rows.FieldPos(0)
		at, err := instant(row[0])
		switch {
		case err == nil:
			begun = true
			if err := c.row(row, point{at: at}, columns); err != nil {
				return fmt.Errorf("%d: %w", line, err)
			}
		case begun:
			return fmt.Errorf("%d: %w", line, err)
		default:
			labels = append(labels, header(row, columns)...)
		}
	}
	if !begun {
		return errors.New("1: no row that begins with a time; columns have commas between them")
	}
	for _, label := range labels {
		if metricOf(label) == unknown && len(columns) == 0 {
			c.ignored[label] = true
		}
	}
	return nil
}

// header notes the metrics that a row names, and returns its cells.
func header(row []string, columns map[int]metric) []string {
	for k, cell := range row[1:] {
		if of := metricOf(cell); of != unknown {
			columns[k+1] = of
		}
	}
	return row[1:]
}

// row adds the values of a row. An empty cell is none.
func (c *CloudWatch) row(row []string, p point, columns map[int]metric) error {
	for k, cell := range row {
		of, ok := columns[k]
		if cell = strings.TrimSpace(cell); !ok || cell == "" {
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			return fmt.Errorf("column %d: %q is not a number", k+1, cell)
		}
		p.of, p.value = of, v
		if err := c.add(p); err != nil {
			return fmt.Errorf("column %d: %w", k+1, err)
		}
	}
	return nil
}
