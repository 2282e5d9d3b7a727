package main

// What is used of Grafana's model of a dashboard, as versions since 10 read it.
type dashboard struct {
	UID           string     `json:"uid"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Tags          []string   `json:"tags"`
	Timezone      string     `json:"timezone"`
	Refresh       string     `json:"refresh"`
	SchemaVersion int        `json:"schemaVersion"`
	Editable      bool       `json:"editable"`
	Time          timeRange  `json:"time"`
	Templating    templating `json:"templating"`
	Panels        []panel    `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type templating struct {
	List []variable `json:"list"`
}

type variable struct {
	Name       string         `json:"name"`
	Label      string         `json:"label"`
	Type       string         `json:"type"`
	Query      string         `json:"query"`
	Datasource *datasource    `json:"datasource,omitempty"`
	Refresh    int            `json:"refresh,omitempty"`
	Sort       int            `json:"sort,omitempty"`
	Multi      bool           `json:"multi,omitempty"`
	IncludeAll bool           `json:"includeAll,omitempty"`
	AllValue   string         `json:"allValue,omitempty"`
	Current    map[string]any `json:"current,omitempty"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type panel struct {
	ID          int          `json:"id"`
	Type        string       `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	GridPos     gridPos      `json:"gridPos"`
	Datasource  *datasource  `json:"datasource,omitempty"`
	FieldConfig *fieldConfig `json:"fieldConfig,omitempty"`
	Options     *options     `json:"options,omitempty"`
	Targets     []target     `json:"targets,omitempty"`
}

type gridPos struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

type fieldConfig struct {
	Defaults  fieldDefaults `json:"defaults"`
	Overrides []any         `json:"overrides"`
}

type fieldDefaults struct {
	Unit   string         `json:"unit"`
	Min    *int           `json:"min,omitempty"`
	Custom map[string]any `json:"custom,omitempty"`
}

type options struct {
	Legend  legend  `json:"legend"`
	Tooltip tooltip `json:"tooltip"`
}

type legend struct {
	DisplayMode string `json:"displayMode"`
	Placement   string `json:"placement"`
	ShowLegend  bool   `json:"showLegend"`
}

type tooltip struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}

type target struct {
	RefID        string      `json:"refId"`
	Expr         string      `json:"expr"`
	LegendFormat string      `json:"legendFormat"`
	Datasource   *datasource `json:"datasource"`
}

// The source of all panels is the one that the reader chooses on top of the page.
func chosen() *datasource { return &datasource{Type: "prometheus", UID: "${datasource}"} }

// A section is a row of panels below a title, and a chart what a panel shows.
type section struct {
	title  string
	charts []chart
}

type chart struct {
	title, help, unit string
	// stacked charts add up to something.
	stacked bool
	lines   []line
}

type line struct{ legend, expr string }

// The grid of a dashboard is 24 wide.
const (
	gridWidth   = 24
	chartWidth  = 8
	chartHeight = 8
)

// newDashboard lays sections out, three charts side by side.
func newDashboard(uid, title, description string, vars []variable, sections []section) dashboard {
	d := dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"aidispatcher"}, Timezone: "browser", Refresh: "30s",
		SchemaVersion: 39, Editable: true, Time: timeRange{From: "now-6h", To: "now"},
		Templating: templating{List: append([]variable{{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}}, vars...)},
	}

	y := 0
	for _, s := range sections {
		d.Panels = append(d.Panels, panel{ID: len(d.Panels) + 1, Type: "row", Title: s.title, GridPos: gridPos{Y: y, W: gridWidth, H: 1}})
		y++

		for i, c := range s.charts {
			at := gridPos{X: i * chartWidth % gridWidth, Y: y + i*chartWidth/gridWidth*chartHeight, W: chartWidth, H: chartHeight}
			d.Panels = append(d.Panels, c.panel(len(d.Panels)+1, at))
		}

		rows := (len(s.charts)*chartWidth + gridWidth - 1) / gridWidth
		y += rows * chartHeight
	}

	return d
}

func (c chart) panel(id int, at gridPos) panel {
	zero := 0
	custom := map[string]any{"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false}

	if c.stacked {
		custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	}

	p := panel{
		ID: id, Type: "timeseries", Title: c.title, Description: c.help, GridPos: at, Datasource: chosen(),
		FieldConfig: &fieldConfig{Defaults: fieldDefaults{Unit: c.unit, Min: &zero, Custom: custom}, Overrides: []any{}},
		Options: &options{
			Legend:  legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true},
			Tooltip: tooltip{Mode: "multi", Sort: "desc"},
		},
	}

	for i, l := range c.lines {
		p.Targets = append(p.Targets, target{RefID: string(rune('A' + i)), Expr: l.expr, LegendFormat: l.legend, Datasource: chosen()})
	}

	return p
}
