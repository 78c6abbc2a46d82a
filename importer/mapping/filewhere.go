package mapping

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const conditionForm = "a condition, such as {trait: plan, is: pro}"

// where parses the conditions, of which each may have any, a list of conditions.
func (p *mappingParser) where(n ast.Node) []Condition {
	elements, _ := p.list(n, "a list of conditions, such as [{trait: plan, is: pro}]")
	var all []Condition
	for _, e := range elements {
		entries := p.entries(e, conditionForm)
		if len(entries) == 0 {
			continue
		}
		if entries[0].key != "any" {
			all = append(all, p.condition(e, entries))
			continue
		}
		for _, other := range entries[1:] {
			p.bad(other.node, "any stands alone: put %q into one of its conditions", other.key)
		}
		var of Condition
		alternatives, _ := p.list(entries[0].value, "a list of conditions, of which one must hold")
		for _, a := range alternatives {
			if entries := p.entries(a, conditionForm); len(entries) > 0 {
				of.Any = append(of.Any, p.condition(a, entries))
			}
		}
		all = append(all, of)
	}
	return all
}

// condition parses a subject, trait or external_id, and an operator.
func (p *mappingParser) condition(n ast.Node, entries []entry) Condition {
	var c Condition
	subjects, operators := 0, 0
	for _, e := range entries {
		switch e.key {
		case "trait":
			subjects++
			if s := p.text(e.value, "a trait"); s != "" {
				path, err := ParsePath(s)
				if err != nil {
					p.bad(e.value, "%s", err)
				}
				c.Trait = path
			}
		case "external_id":
			subjects++
			c.ExternalID = p.externalIDType(e.value)
		case "any":
			p.bad(e.node, "any cannot stand here: it is the only key of a condition in where")
			return Condition{}
		default:
			if operators++; operators > 1 {
				p.bad(e.node, "a second operator: write a condition for each")
				continue
			}
			c.Operator, c.Values = p.operator(e)
		}
	}
	switch {
	case subjects == 0:
		p.bad(n, "the condition has neither trait nor external_id")
	case subjects > 1:
		p.bad(n, "the condition has several subjects: write a condition for each")
	}
	switch {
	case operators == 0:
		p.bad(n, "the condition has no operator: it must be one of %s", operatorList)
	case c.ExternalID != "" && c.Operator != "" && c.Operator != Exists:
		p.bad(n, "an external_id takes the operator exists only")
	}
	return c
}

const operatorList = "is, is_not, in, not_in, like, not_like, at_least, at_most, exists"

func (p *mappingParser) externalIDType(n ast.Node) string {
	s := strings.TrimSpace(p.text(n, "a type of external ID"))
	if strings.ContainsFunc(s, notOfType) {
		p.bad(n, "%q is not a type of external ID, such as user_id", s)
	}
	return s
}

// operator returns "" and no values after a mistake.
func (p *mappingParser) operator(e entry) (Operator, []any) {
	operator, mistakes := Operator(e.key), len(p.mistakes)
	var values []any
	switch operator {
	case Is, IsNot:
		values = append(values, p.scalar(e.value))
	case In, NotIn:
		elements, _ := p.list(e.value, "a list of values, such as [PL, DE]")
		for _, element := range elements {
			v := p.scalar(element)
			if v != nil && slices.Contains(values, v) {
				p.bad(element, "duplicate value")
			}
			values = append(values, v)
		}
	case Like, NotLike:
		values = append(values, p.text(e.value, `text, such as "*@example.com"`))
	case AtLeast, AtMost:
		number, _ := p.number(e.value)
		values = append(values, number)
	case Exists:
		values = append(values, p.boolean(e.value))
	default:
		p.bad(e.node, "unknown key %q: it must be trait, external_id, or one of %s", e.key, operatorList)
	}
	if len(p.mistakes) > mistakes {
		return "", nil
	}
	return operator, values
}

// clear parses the fields to clear, after all fields of m are known.
func (p *mappingParser) clear(n ast.Node, m *Mapping) {
	elements, _ := p.list(n, "a list of fields, such as [phone, address.line_2, metadata.plan]")
	for _, e := range elements {
		field := p.text(e, "a field, such as phone")
		if field == "" {
			continue
		}
		if err := m.checkClear(field); err != nil {
			p.bad(e, "%s", err)
		}
		if slices.Contains(m.Clear, field) {
			p.bad(e, "duplicate field %q", field)
		}
		m.Clear = append(m.Clear, field)
	}
	slices.Sort(m.Clear)
}
