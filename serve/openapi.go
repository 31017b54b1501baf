package serve

import _ "embed"

//go:embed openapi.json
var openAPI []byte

// openAPI describes the routes (OpenAPI 3.1).
func (s *Server) openAPI(q *request) error {
	return reply(q, "application/json", openAPI)
}
