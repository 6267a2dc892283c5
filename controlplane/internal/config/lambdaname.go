package config

import (
	"cmp"
	"regexp"
)

var (
	// lambdaName is a function's name, or one with its account before it. Lambda refuses a name with a qualifier behind it beside
	// the qualifier that each version is invoked with.
	lambdaName = regexp.MustCompile(`^([0-9]{12}:function:)?[A-Za-z0-9_.-]{0,140}$`)
	// lambdaARN has two groups: the region, and the qualifier that an ARN may end with.
	lambdaARN = regexp.MustCompile(`^arn:aws[a-z-]*:lambda:([a-z0-9-]+):[0-9]{12}:function:[A-Za-z0-9_.-]{1,140}(?::([A-Za-z0-9_$-]{1,128}))?$`)
)

// validateName holds an ARN against the keys that say the same.
func (c Config) validateName(p *problems, path string, l Lambda) {
	if lambdaName.MatchString(l.FunctionName) {
		return
	}
	parts := lambdaARN.FindStringSubmatch(l.FunctionName)
	if parts == nil {
		p.add(path+".function_name", "must be a function's name or ARN, got %q; an alias or a version goes into qualifier", l.FunctionName)
		return
	}
	region, qualifier := parts[1], parts[2]
	if ours := cmp.Or(l.Region, c.AWS.Region); ours != "" && ours != region {
		p.add(path+".function_name", "is in %s, and is invoked in %s; set region to %[1]s", region, ours)
	}
	if qualifier != "" && l.Qualifier != "" && qualifier != l.Qualifier {
		p.add(path+".qualifier", "is %q, and function_name ends with %q; leave one of them out", l.Qualifier, qualifier)
	}
}
