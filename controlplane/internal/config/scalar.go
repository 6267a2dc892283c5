package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

// setScalar parses text as the type of target. File, environment and flags share it, so a value reads the same in all.
func setScalar(target reflect.Value, text string) error {
	parsed, err := parseScalar(target.Type(), text)
	if err != nil {
		return err
	}
	target.Set(reflect.ValueOf(parsed))
	return nil
}

func parseScalar(t reflect.Type, text string) (any, error) {
	var parsed any
	var err error
	switch {
	case t == durationType:
		parsed, err = time.ParseDuration(text)
	case t.Kind() == reflect.Int:
		parsed, err = strconv.Atoi(text)
	case t.Kind() == reflect.Float64:
		parsed, err = parseNumber(text)
	case t.Kind() == reflect.Bool:
		parsed, err = text == "true", notBool(text)
	default:
		return text, nil
	}
	if err != nil {
		return nil, fmt.Errorf("must be %s, got %q", article(t), text)
	}
	return parsed, nil
}

func parseNumber(text string) (float64, error) {
	number, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(number) || math.IsInf(number, 0)) {
		err = strconv.ErrRange
	}
	return number, err
}

// notBool accepts two words only: YAML's yes, on and y read as something else elsewhere.
func notBool(text string) error {
	if text == "true" || text == "false" {
		return nil
	}
	return strconv.ErrSyntax
}

// article names a scalar type in a sentence.
func article(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 30s or 1m30s"
	case t.Kind() == reflect.Int:
		return "an integer"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}
