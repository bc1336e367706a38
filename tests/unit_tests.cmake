# One line a component.
unit_test(base DEPENDS base)
unit_test(sqlite DEPENDS sqlite)
unit_test(resources DEPENDS resources)
unit_test(audit DEPENDS audit)
unit_test(registry DEPENDS registry)
unit_test(costs DEPENDS costs)
