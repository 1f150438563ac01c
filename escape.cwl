cwlVersion: v1.2

# An EO Application Package (OGC 20-089r1): scenes in as a STAC directory, results out as one. dockerPull names the
# image; write there the name under which the platform's registry has it.
$namespaces:
  s: https://schema.org/
s:name: ESCAPE
s:description: Soil moisture and surface roughness, with uncertainty, from full-polarimetric L-band SAR
s:softwareVersion: "0.1.0"
s:license: https://www.apache.org/licenses/LICENSE-2.0

$graph:
  - class: Workflow
    id: escape-soil-moisture
    label: Soil moisture from full-polarimetric L-band SAR
    doc: >-
      Retrieves soil moisture and surface roughness with their uncertainty from quad-pol L-band scenes by a
      self-calibrating ensemble, without any in-situ data.
    inputs:
      scenes:
        type: Directory
        label: Scenes
        doc: Directory with catalog.json, a STAC item for each scene and the scenes' files.
      bbox:
        type: string?
        label: &bbox-label Bounding box
        doc: &bbox >-
          West, south, east, north in degrees, separated by commas; west > east crosses 180 degrees. Give one
          of bbox, geometry and ids at least.
      geometry:
        type: File?
        label: &geometry-label Area
        doc: &geometry File with a GeoJSON Polygon or MultiPolygon in degrees; excludes bbox.
      ids:
        type: string[]?
        label: &ids-label Item ids
        doc: &ids Ids of the items to use of those staged in.
      datetime:
        type: string?
        label: &datetime-label Dates
        doc: &datetime "RFC 3339 instant or interval; '..' leaves an end open. Default: all."
      max_scenes:
        type: int?
        label: &max_scenes-label Most scenes
        doc: &max_scenes "The newest ones are used where more are staged in. Default: 20."
      resolution:
        type: double?
        label: &resolution-label Resolution
        doc: &resolution >-
          Pixel size of the result in metres. Default: the finest multiple of the scene's pixel that has at
          least 100 looks.
      crs:
        type: string?
        label: &crs-label CRS
        doc: &crs "EPSG code of a projected CRS in metres. Default: the scene's."
      mode:
        type: string?
        label: &mode-label Mode
        doc: &mode variational (the default) or deterministic.
      members:
        type: int?
        label: &members-label Members
        doc: &members "Size of the ensemble, 1 to 100. Default: 10."
      seed:
        type: long?
        label: &seed-label Seed
        doc: &seed "Start of the random numbers. Default: 0."
      radiometry:
        type: string?
        label: &radiometry-label Radiometry
        doc: &radiometry "Convention of scenes whose metadata does not state it: sigma0, gamma0 or beta0."
      incidence_angle_deg:
        type: double?
        label: &incidence_angle_deg-label Incidence angle
        doc: &incidence_angle_deg Local incidence angle in degrees of scenes that come without one.
      looks:
        type: double?
        label: &looks-label Looks
        doc: &looks >-
          Equivalent number of looks of a pixel of scenes that do not state it. Default: measured.
      frequency:
        type: double?
        label: &frequency-label Frequency
        doc: &frequency Centre frequency in Hz of scenes that do not state it.
      zones:
        type: File?
        label: &zones-label Zones
        doc: &zones >-
          File with a GeoJSON FeatureCollection of polygons in degrees: each item's report then has a table of
          values per polygon and date.
    steps:
      retrieve:
        label: Retrieval
        doc: The whole path from scenes to items.
        run: "#retrieve"
        in:
          scenes: scenes
          bbox: bbox
          geometry: geometry
          ids: ids
          datetime: datetime
          max_scenes: max_scenes
          resolution: resolution
          crs: crs
          mode: mode
          members: members
          seed: seed
          radiometry: radiometry
          incidence_angle_deg: incidence_angle_deg
          looks: looks
          frequency: frequency
          zones: zones
        out: [results]
    outputs:
      results:
        type: Directory
        label: Results
        doc: Directory with catalog.json and, for each pass and date, a STAC item with its GeoTIFFs and report.
        outputSource: retrieve/results

  - class: CommandLineTool
    id: retrieve
    label: escape-process run
    doc: Answers one request from the scenes of a directory.
    hints: # no requirement, so that --no-container runs what is installed
      DockerRequirement:
        dockerPull: escape:0.1.0
    requirements:
      ResourceRequirement:
        coresMin: 1
        coresMax: 2
        ramMin: 4096
        ramMax: 8192
    baseCommand: [escape-process, run]
    arguments: [--out, $(runtime.tmpdir)/work, --stac-out, results]
    inputs:
      scenes:
        type: Directory
        label: Scenes
        doc: Becomes the catalogue that is searched.
        inputBinding: {prefix: --catalog}
      bbox:
        label: *bbox-label
        doc: *bbox
        type: string?
        inputBinding: {prefix: --bbox=, separate: false}
      geometry:
        label: *geometry-label
        doc: *geometry
        type: File?
        inputBinding: {prefix: --geometry=@, separate: false}
      ids:
        label: *ids-label
        doc: *ids
        type:
          - "null"
          - type: array
            items: string
            inputBinding: {prefix: --ids}
      datetime:
        label: *datetime-label
        doc: *datetime
        type: string?
        inputBinding: {prefix: --datetime=, separate: false}
      max_scenes:
        label: *max_scenes-label
        doc: *max_scenes
        type: int?
        inputBinding: {prefix: --max-scenes=, separate: false}
      resolution:
        label: *resolution-label
        doc: *resolution
        type: double?
        inputBinding: {prefix: --resolution=, separate: false}
      crs:
        label: *crs-label
        doc: *crs
        type: string?
        inputBinding: {prefix: --crs=, separate: false}
      mode:
        label: *mode-label
        doc: *mode
        type: string?
        inputBinding: {prefix: --mode=, separate: false}
      members:
        label: *members-label
        doc: *members
        type: int?
        inputBinding: {prefix: --members=, separate: false}
      seed:
        label: *seed-label
        doc: *seed
        type: long?
        inputBinding: {prefix: --seed=, separate: false}
      radiometry:
        label: *radiometry-label
        doc: *radiometry
        type: string?
        inputBinding: {prefix: --radiometry=, separate: false}
      incidence_angle_deg:
        label: *incidence_angle_deg-label
        doc: *incidence_angle_deg
        type: double?
        inputBinding: {prefix: --incidence-angle-deg=, separate: false}
      looks:
        label: *looks-label
        doc: *looks
        type: double?
        inputBinding: {prefix: --looks=, separate: false}
      frequency:
        label: *frequency-label
        doc: *frequency
        type: double?
        inputBinding: {prefix: --frequency=, separate: false}
      zones:
        label: *zones-label
        doc: *zones
        type: File?
        inputBinding: {prefix: --zones=@, separate: false}
    outputs:
      results:
        type: Directory
        label: Results
        doc: What the workflow returns.
        outputBinding: {glob: results}
    permanentFailCodes: [2] # the request or the scenes are wrong: the same will not help
    temporaryFailCodes: [1]
