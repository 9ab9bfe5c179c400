package http2

import "errors"

// A Constant is a run of header fields that many requests end in: checked and
// measured once, and never copied. It is made by NewConstant.
type Constant struct {
	fields []HeaderField
	bytes  uint64 // as fieldListBytes
}

// NewConstant checks fields, which it keeps and nobody may change. It takes no
// pseudo-header field and none that says something of one request: host and
// content-length. The error names what is wrong.
func NewConstant(fields []HeaderField) (*Constant, error) {
	q := requestCheck{declared: -1}
	for i := range fields {
		if err := q.add(&fields[i]); err != nil {
			return nil, err
		}
	}
	if q.method+q.scheme+q.path+q.authority+q.protocol+q.host != "" || q.declared >= 0 {
		return nil, errors.New("a pseudo-header field, host or content-length is not constant")
	}
	return &Constant{fields: fields, bytes: fieldListBytes(fields)}, nil
}

// more are the fields behind Request.Fields.
func (r *Request) more() []HeaderField {
	if r.Constant == nil {
		return nil
	}
	return r.Constant.fields
}

// fieldBytes is the size of the whole field list as RFC 9113, section 6.5.2 counts it.
func (r *Request) fieldBytes() uint64 {
	n := fieldListBytes(r.Fields)
	if r.Constant != nil {
		n += r.Constant.bytes
	}
	return n
}
