// Package helm tests the chart in quoll/ with Helm's own packages: it is rendered with every value that it has, and read as strictly as Kubernetes reads it.
//
// The plain manifests of packaging/kubernetes are the chart with its defaults. To write them and what ./compat/packaging runs anew:
//
//	go test . -update
package helm
