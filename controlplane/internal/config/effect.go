package config

import (
	"regexp"
	"strings"
)

// An Effect says when a changed value of a key is used after a reload.
type Effect string

// The texts are those of docs/configuration.md.
const (
	AtOnce    Effect = "at once"
	NextStart Effect = "next start" // for instances that start from then on
	AtRestart Effect = "restart"    // of the process: a reload names it, and leaves the value as it is
)

// effects has every key. Those of lists stand for each of their elements.
var effects = map[string]Effect{
	"state_dir":                              AtRestart,
	"listeners[].name":                       AtOnce,
	"listeners[].address":                    AtOnce,
	"listeners[].tls":                        AtOnce,
	"listeners[].tls.certificate_file":       AtOnce,
	"listeners[].tls.key_file":               AtOnce,
	"listeners[].max_request_headers_kib":    AtOnce,
	"listeners[].trusted_hops":               AtOnce,
	"listeners[].health_path":                AtOnce,
	"admin.address":                          AtRestart,
	"admin.hosts":                            AtRestart,
	"admin.token_file":                       AtRestart,
	"admin.open":                             AtRestart,
	"shutdown.grace":                         AtOnce,
	"relay.address":                          AtRestart,
	"relay.advertise":                        AtRestart,
	"relay.tls":                              AtRestart,
	"relay.certificate_file":                 AtRestart,
	"relay.key_file":                         AtRestart,
	"relay.ca_file":                          AtRestart,
	"relay.tunnel_wait":                      AtRestart,
	"relay.max_connections":                  AtRestart,
	"relay.apart":                            AtRestart,
	"relay.name":                             AtRestart,
	"relay.admin":                            AtRestart,
	"cell.address":                           AtRestart,
	"cell.control_planes":                    AtRestart,
	"cell.secret_file":                       AtRestart,
	"cell.certificate_file":                  AtRestart,
	"cell.key_file":                          AtRestart,
	"cell.ca_file":                           AtRestart,
	"cell.token_key_file":                    AtRestart,
	"cell.trust_domain":                      AtRestart,
	"lease.store":                            AtRestart,
	"lease.table":                            AtRestart,
	"lease.item":                             AtRestart,
	"lease.region":                           AtRestart,
	"lease.endpoint":                         AtRestart,
	"signing.key_file":                       AtRestart,
	"aws.region":                             AtRestart,
	"aws.endpoint":                           AtRestart,
	"aws.account_concurrency":                AtOnce,
	"accounts[].region":                      AtRestart,
	"accounts[].assume_role":                 AtRestart,
	"accounts[].instances":                   AtRestart,
	"pricing.per_million_requests":           AtOnce,
	"pricing.gb_second_x86_64":               AtOnce,
	"pricing.gb_second_arm64":                AtOnce,
	"budget.dollars_per_hour":                AtOnce,
	"log.level":                              AtOnce,
	"log.format":                             AtRestart,
	"access_log.to":                          AtOnce,
	"access_log.query":                       AtOnce,
	"tracing.endpoint":                       AtRestart,
	"tracing.sampling":                       AtRestart,
	"emf.interval":                           AtRestart,
	"emf.namespace":                          AtRestart,
	"functions[].name":                       AtOnce,
	"functions[].provider":                   AtRestart,
	"functions[].lambda.function_name":       AtOnce,
	"functions[].lambda.qualifier":           AtOnce,
	"functions[].lambda.region":              AtRestart,
	"functions[].lambda.assume_role":         AtRestart,
	"functions[].lambda.timeout":             NextStart,
	"functions[].lambda.memory_mb":           AtOnce,
	"functions[].lambda.architecture":        AtOnce,
	"functions[].lambda.network":             AtOnce,
	"functions[].static.token_file":          AtOnce,
	"functions[].database.name":              AtOnce,
	"functions[].database.connections":       AtOnce,
	"functions[].database.max_connections":   AtOnce,
	"functions[].routes[].listener":          AtOnce,
	"functions[].routes[].host":              AtOnce,
	"functions[].routes[].path":              AtOnce,
	"functions[].routes[].strip_prefix":      AtOnce,
	"functions[].routes[].header":            AtOnce,
	"functions[].routes[].header.name":       AtOnce,
	"functions[].routes[].header.value":      AtOnce,
	"functions[].disabled":                   AtOnce,
	"functions[].queue.limit":                AtOnce,
	"functions[].queue.timeout":              AtOnce,
	"functions[].timeouts.first_byte":        AtOnce,
	"functions[].timeouts.idle":              AtOnce,
	"functions[].timeouts.total":             AtOnce,
	"functions[].timeouts.half_closed":       NextStart,
	"functions[].scaling.concurrency":        NextStart,
	"functions[].scaling.min":                AtOnce,
	"functions[].scaling.max":                AtOnce,
	"functions[].scaling.max_environments":   AtOnce,
	"functions[].scaling.starts_in_progress": AtOnce,
	"functions[].scaling.starts_per_second":  AtOnce,
	"functions[].scaling.starts_burst":       AtOnce,
	"functions[].scaling.start_timeout":      NextStart,
	"functions[].scaling.preference":         AtOnce,
	"functions[].scaling.drain_timeout":      AtOnce,
	"functions[].scaling.linger":             NextStart,
	"functions[].scaling.dollars_per_hour":   AtOnce,
	"functions[].environment.max_requests":   NextStart,
	"functions[].environment.max_age":        NextStart,
	"functions[].rollout.watch":              AtOnce,
	"functions[].rollout.steps":              AtOnce,
	"functions[].rollout.hold":               AtOnce,
	"functions[].rollout.max_errors":         AtOnce,
	"functions[].rollout.max_slower":         AtOnce,
	"functions[].server_timing.enabled":      AtOnce,
	"functions[].server_timing.header":       AtOnce,
	"functions[].server_timing.header.name":  AtOnce,
	"functions[].server_timing.header.value": AtOnce,
}

var anyIndex = regexp.MustCompile(`\[[^]]*\]`)

// EffectOf returns when a change of the key at a path is used. The path listeners[0].address has the effect of listeners[].address. A
// list needs a restart if one of its keys does.
func EffectOf(path string) Effect {
	path = anyIndex.ReplaceAllString(path, "[]")
	if effect, known := effects[path]; known {
		return effect
	}
	for key, effect := range effects {
		if effect == AtRestart && strings.HasPrefix(key, path+"[].") {
			return AtRestart
		}
	}
	return AtOnce
}
