// Resource definitions of others that the charts' suite validates against. Nothing is compiled.
module mainstay.invalid/peers/definitions

go 1.25.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
