package config

import "fmt"

// validateDatabases refuses different limits for one database.
func (c Config) validateDatabases(p *problems) {
	limits, first := map[string]int{}, map[string]string{}
	for i, f := range c.Functions {
		d, path := f.Database, fmt.Sprintf("functions[%d].database", i)
		within(p, path+".connections", d.Connections, 0, 10_000)
		within(p, path+".max_connections", d.MaxConnections, 0, 1_000_000)
		if d.Name == "" {
			if d.Connections != 0 || d.MaxConnections != 0 {
				p.add(path+".name", "must be set: functions with the same name share a database")
			}
			continue
		}
		if earlier, ok := first[d.Name]; ok && limits[d.Name] != d.MaxConnections {
			p.add(path+".max_connections", "must be that of %s, which has the same name: %d, got %d", earlier, limits[d.Name], d.MaxConnections)
			continue
		}
		limits[d.Name], first[d.Name] = d.MaxConnections, path
	}
}
