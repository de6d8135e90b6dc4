package config

import (
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestEverySettingIsRead: a field of a configuration that nothing but the table and the risks looks at belongs to a key that does nothing.
func TestEverySettingIsRead(t *testing.T) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo, Dir: ".."},
		"./config", ".", "./admin", "./audit", "./cmd/quoll", "./quorum", "./replica", "./server", "./tlsconf")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{} // by type.field
	for _, p := range loaded {
		for _, e := range p.Errors {
			t.Fatal(e)
		}
		for _, file := range p.Syntax {
			switch filepath.Base(p.Fset.Position(file.Package).Filename) {
			case "table.go", "explain.go":
				continue
			}
			written := map[ast.Node]bool{}
			ast.Inspect(file, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
					for _, e := range a.Lhs {
						written[e] = true
					}
				}
				e, ok := n.(*ast.SelectorExpr)
				if !ok || written[e] {
					return true
				}
				s := p.TypesInfo.Selections[e]
				if s == nil || s.Kind() != types.FieldVal {
					return true
				}
				// The fields on the way to it may be embedded ones: the last one counts.
				of := s.Recv()
				for _, i := range s.Index() {
					if pointer, ok := of.Underlying().(*types.Pointer); ok {
						of = pointer.Elem()
					}
					field := of.Underlying().(*types.Struct).Field(i)
					if named, ok := of.(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "quoll/config" {
						read[named.Obj().Name()+"."+field.Name()] = true
					}
					of = field.Type()
				}
				return true
			})
		}
	}
	if !read["Config.TickTime"] {
		t.Fatal("the test sees nothing")
	}
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name
			if !f.CanInterface() {
				continue
			}
			if !read[name] {
				t.Errorf("%s is read nowhere", name)
			}
			if f.Kind() == reflect.Struct && strings.HasSuffix(f.Type().PkgPath(), "quoll/config") {
				visit(f)
			}
		}
	}
	visit(reflect.ValueOf(&Config{}).Elem())
}
