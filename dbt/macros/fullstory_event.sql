{#-
A view of the events of one name, with a typed column for each listed property.

Args:
    name: The event's name.
    properties: The types of its properties, by name.

The view is disabled if the stream `imported_events` is not loaded.
-#}
{%- macro fullstory_event(name, properties) -%}
    {%- for property, type in properties.items() -%}
        {%- do dbt_fullstory_imports.check_type(type, 'The property `' ~ property ~ '` of the event `' ~ name ~ '`') -%}
    {%- endfor -%}
    {{ config(meta={'fullstory_event': name, 'fullstory_properties': properties}) }}
    {%- if not dbt_fullstory_imports.is_loaded('imported_events') -%}
        {{ config(enabled=false) }}
    {%- endif -%}
    {%- set own = dbt_fullstory_imports.event_columns() -%}
    {%- set columns = dbt_fullstory_imports.property_columns(properties, own) %}
select
    {%- for column in own %}
    {{ dbt_fullstory_imports.quoted(column) }},
    {%- endfor %}
    {%- for property, type in properties.items() %}
    {{ dbt_fullstory_imports.typed(dbt_fullstory_imports.json_get('properties', [property]), type) }} as {{ dbt_fullstory_imports.quoted(columns[property]) }},
    {%- endfor %}
    properties
from {{ ref('dbt_fullstory_imports', 'stg_fullstory_imports__imported_events') }}
where name = {{ dbt_fullstory_imports.text_literal(name) }}
{%- endmacro -%}

{#- The columns that every event has. -#}
{%- macro event_columns() -%}
    {%- set columns = [] -%}
    {%- if execute -%}
        {%- set id = 'model.dbt_fullstory_imports.stg_fullstory_imports__imported_events' -%}
        {%- for column in graph.nodes[id].columns if column not in ('name', 'properties', 'schema') -%}
            {%- do columns.append(column) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(columns) }}
{%- endmacro -%}

{#- The columns of properties: each name is taken once, in any case of letters. -#}
{%- macro property_columns(properties, taken) -%}
    {%- set names = {} -%}
    {%- set taken = taken + ['properties'] -%}
    {%- for property in properties -%}
        {%- set slug = dbt_fullstory_imports.slug(property, 'property') -%}
        {%- set slug = 'properties_' ~ slug if slug in taken else slug -%}
        {%- set column = dbt_fullstory_imports.numbered(slug, taken) -%}
        {%- do taken.append(column) -%}
        {%- do names.update({property: column}) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro -%}

{#- A text as a name: letters and digits of any script, in lower case, and `_`. -#}
{%- macro slug(text, otherwise) -%}
    {%- set words = modules.re.sub('([a-z0-9])([A-Z])', '\\1_\\2', text) -%}
    {%- set name = modules.re.sub('[\\W_]+', '_', words).strip('_').lower() or otherwise -%}
    {%- set name = '_' ~ name if name[0].isdigit() else name -%}
    {{ return(name.encode('utf-8')[:50].decode('utf-8', 'ignore')) }}
{%- endmacro -%}

{#- A name, with a number if it is taken. -#}
{%- macro numbered(name, taken) -%}
    {%- set names = [name] -%}
    {%- for number in range(2, taken | length + 3) -%}
        {%- do names.append(name ~ '_' ~ number) -%}
    {%- endfor -%}
    {{ return(names | reject('in', taken) | first) }}
{%- endmacro -%}
